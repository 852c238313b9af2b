// tests/e2e/age_npm.mjs - age-encryption's half of test_age.py: stdin to stdout.
//
//   encrypt ARMOR RECIPIENT…    seal, as text when ARMOR is 1
//   decrypt IDENTITY…           open, armored or not
import * as age from "age-encryption";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const input = new Uint8Array(Buffer.concat(chunks));
const [command, ...rest] = process.argv.slice(2);

if (command === "encrypt") {
    const e = new age.Encrypter();
    for (const recipient of rest.slice(1)) e.addRecipient(recipient);
    const sealed = await e.encrypt(input);
    process.stdout.write(rest[0] === "1" ? age.armor.encode(sealed) : sealed);
} else {
    const d = new age.Decrypter();
    for (const identity of rest) d.addIdentity(identity);
    const text = Buffer.from(input).toString("latin1");
    const sealed = text.startsWith("-----BEGIN") ? age.armor.decode(text) : input;
    process.stdout.write(await d.decrypt(sealed));
}
