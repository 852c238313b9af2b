/* tests/unit/test_auto.c - which files lead to which command, for what reason. */
#include "unit.h"

#include "init/auto.h"

#include <string.h>

static struct auto_plan plan;
static char notes[8192], script[96 << 10];

/* "a/b/yarn.lock", or "package.json={…}" for what is in it; a directory starts where the path changes. */
static struct auto_dir dirs[8];
static struct auto_above above[8];

static void fresh(void)
{
        plan.count = 0;
        plan.full = false;
        plan.notes = wr_of(notes, sizeof(notes) - 1);
        memset(notes, 0, sizeof(notes));
        memset(dirs, 0, sizeof(dirs));
}

/* @files: names with blanks between, of the directory @path at @level of the chain. */
static void visit(unsigned level, const char *path, const char *files, const char *package)
{
        struct auto_dir *d = &dirs[level];

        while (*files) {
                char name[64];
                size_t n = strcspn(files, " ");

                memcpy(name, files, n);
                name[n] = '\0';
                d->files |= UINT64_C(1) << auto_file_of(name);
                if (package && (!strcmp(name, "package.json") || !strcmp(name, "pyproject.toml") ||
                                !strcmp(name, "pnpm-workspace.yaml")))
                        auto_dir_read(d, auto_file_of(name), package, strlen(package));
                files += n + (files[n] == ' ');
        }
        above[level] = (struct auto_above){ .up = level ? &above[level - 1] : NULL, .dir = d,
                                            .path_len = strlen(path) + (*path != '\0') };
        above[level].languages = auto_choose(&plan, d, path, level, above[level].up);
}

static bool has_note(const char *text)
{
        return strstr(notes, text);
}

static const struct row {
        const char *files, *text, *command, *why;
        enum auto_kind kind;
} rows[] = {
        { "package.json", "{}", "npm install --no-package-lock --no-audit --no-fund",
          "package.json, no lock file", AUTO_INSTALL },
        { "package.json package-lock.json", "{}", "npm ci --no-audit --no-fund",
          "package-lock.json", AUTO_INSTALL },
        { "package.json package-lock.json npm-shrinkwrap.json", "{}", "npm ci --no-audit --no-fund",
          "npm-shrinkwrap.json", AUTO_INSTALL },
        { "package.json yarn.lock", "{}", "yarn install --frozen-lockfile --non-interactive",
          "yarn.lock", AUTO_INSTALL },
        { "package.json yarn.lock .yarnrc.yml", "{}", "yarn install --immutable", "yarn.lock",
          AUTO_INSTALL },
        { "package.json yarn.lock", "{\"packageManager\":\"yarn@4.9.1\"}",
          "yarn install --immutable", "packageManager in package.json, yarn.lock", AUTO_PINNED },
        { "package.json yarn.lock", "{\"packageManager\":\"yarn@1.22.22\"}",
          "yarn install --frozen-lockfile --non-interactive",
          "packageManager in package.json, yarn.lock", AUTO_PINNED },
        { "package.json", "{\"packageManager\":\"yarn@10.0.0\"}", "yarn install --no-immutable",
          "packageManager in package.json, no lock file", AUTO_PINNED },
        { "package.json pnpm-lock.yaml", "{}", "pnpm install --frozen-lockfile", "pnpm-lock.yaml",
          AUTO_INSTALL },
        { "package.json package-lock.json", "{\"packageManager\":\"pnpm@9.0.0\"}",
          "pnpm install --no-lockfile", "packageManager in package.json, no lock file",
          AUTO_PINNED },
        { "package.json pnpm-lock.yaml yarn.lock package-lock.json", "{}",
          "pnpm install --frozen-lockfile", "pnpm-lock.yaml", AUTO_INSTALL },
        { "package.json pnpm-lock.yaml yarn.lock package-lock.json",
          "{\"packageManager\":\"npm@10.0.0\"}", "npm ci --no-audit --no-fund",
          "packageManager in package.json, package-lock.json", AUTO_PINNED },
        { "package.json package-lock.json", "not JSON at all", "npm ci --no-audit --no-fund",
          "package-lock.json", AUTO_INSTALL },
        { "poetry.lock pyproject.toml", "", "poetry install --no-interaction", "poetry.lock",
          AUTO_INSTALL },
        { "pyproject.toml", "[tool.poetry]\nname = 1\n", "poetry install --no-interaction",
          "pyproject.toml ([tool.poetry])", AUTO_INSTALL },
        { "uv.lock pyproject.toml", "[build-system]\n", "uv sync --frozen", "uv.lock", AUTO_FETCH },
        { "Pipfile Pipfile.lock", NULL, "pipenv sync --dev", "Pipfile.lock", AUTO_INSTALL },
        { "Pipfile", NULL, "pipenv install --dev --skip-lock", "Pipfile", AUTO_INSTALL },
        { "requirements.txt", NULL, "python -m pip install -r requirements.txt", "requirements.txt",
          AUTO_INSTALL },
        { "requirements-test.txt requirements.txt requirements-dev.txt", NULL,
          "python -m pip install -r requirements.txt -r requirements-dev.txt "
          "-r requirements-test.txt", "requirements.txt requirements-dev.txt requirements-test.txt",
          AUTO_INSTALL },
        { "pyproject.toml", "[project]\n[build-system]\r\n", "python -m pip install -e . ",
          "pyproject.toml ", AUTO_INSTALL },
        { "setup.py requirements-dev.txt", NULL,
          "python -m pip install -e . -r requirements-dev.txt", "setup.py requirements-dev.txt",
          AUTO_INSTALL },
        { "setup.py requirements.txt", NULL, "python -m pip install -r requirements.txt",
          "requirements.txt", AUTO_INSTALL },
        { "Cargo.toml", NULL, "cargo fetch", "Cargo.toml", AUTO_FETCH },
        { "Cargo.toml Cargo.lock", NULL, "cargo fetch --locked", "Cargo.lock", AUTO_FETCH },
        { "go.mod", NULL, "go mod download", "go.mod", AUTO_FETCH },
        { "Gemfile Gemfile.lock", NULL, "bundle install", "Gemfile.lock", AUTO_FETCH },
        { "composer.json", NULL, "composer install --no-interaction --no-progress",
          "composer.json", AUTO_FETCH },
        { "pom.xml", NULL, "mvn -B -q dependency:go-offline", "pom.xml", AUTO_FETCH },
        { "pom.xml mvnw", NULL, "sh ./mvnw -B -q dependency:go-offline", "pom.xml", AUTO_FETCH },
        { "build.gradle.kts", NULL, "gradle-fetch gradle", "build.gradle.kts",
          AUTO_FETCH },
        { "settings.gradle build.gradle gradlew", NULL, "gradle-fetch sh ./gradlew",
          "settings.gradle", AUTO_FETCH },
};

TEST(files_choose_a_command_for_a_reason)
{
        for (size_t i = 0; i < COUNT(rows); i++) {
                fresh();
                visit(0, "", rows[i].files, rows[i].text);
                CHECK_ROW(plan.count == 1, rows[i].files);
                CHECK_ROW(!strcmp(plan.steps[0].command, rows[i].command), rows[i].files);
                CHECK_ROW(!strcmp(plan.steps[0].why, rows[i].why), rows[i].files);
                CHECK_ROW(plan.steps[0].kind == rows[i].kind, rows[i].files);
        }
}

TEST(files_that_ask_for_nothing_get_nothing)
{
        static const struct { const char *files, *text; } none[] = {
                { "", NULL },
                { "package-lock.json", NULL },
                { "pyproject.toml", "[tool.black]\n" },
                { "package.json bun.lock", "{}" },
                { "package.json", "{\"packageManager\":\"bun@1.2.0\"}" },
                { "poetry.locks", NULL },
        };

        for (size_t i = 0; i < COUNT(none); i++) {
                fresh();
                visit(0, "", none[i].files, none[i].text);
                CHECK_ROW(!plan.count, none[i].files);
        }
        fresh();
        visit(0, "", "package.json bun.lock", "{}");
        CHECK(has_note("left to a setup script"));
}

TEST(a_conflict_is_decided_and_said)
{
        fresh();
        visit(0, "", "package.json yarn.lock package-lock.json", "{}");
        CHECK(has_note("several lock files: yarn is taken, because pnpm goes before yarn"));
        fresh();
        visit(0, "", "package.json yarn.lock package-lock.json", "{\"packageManager\":\"npm@9\"}");
        CHECK(has_note("npm is taken, because packageManager says so"));
        fresh();
        visit(0, "", "package.json yarn.lock", "{\"packageManager\":\"pnpm@9\"}");
        CHECK(has_note("packageManager says pnpm, and the lock file is another's"));
        fresh();
        visit(0, "", "Pipfile poetry.lock requirements.txt", NULL);
        CHECK(has_note("poetry.lock is taken, the others are left alone"));
}

TEST(a_member_of_a_workspace_is_installed_by_it)
{
        static const struct { const char *workspace, *path; bool member; } of[] = {
                { "{\"workspaces\":[\"packages/*\"]}", "packages/a", true },
                { "{\"workspaces\":[\"packages/*\"]}", "other/a", false },
                { "{\"workspaces\":[\"packages/*\"]}", "packages/a/b", false },
                { "{\"workspaces\":{\"packages\":[\"./apps/**\"]}}", "apps/x/y", true },
                { "{\"workspaces\":[\"**\"]}", "any/where", true },
                { "{\"workspaces\":[\"packages/*\",\"!packages/b*\"]}", "packages/bad", false },
                { "{\"workspaces\":[\"a*c?\"]}", "abbcd", true },
                { "{\"workspaces\":[\"**/**/./x\"]}", "a/b/x", true },
                { "{\"workspaces\":[\"**/x/**\"]}", "a/x", true },
                { "{\"workspaces\":[\"\"]}", "a", false },
                { "packages:\n  - 'libs/*' # ours\n  - \"apps/web\"\nother:\n  - x\n", "libs/a", true },
                { "packages:\n- apps/web\n", "apps/web", true },
                { "other:\n  - x\n", "x", false },
        };

        for (size_t i = 0; i < COUNT(of); i++) {
                fresh();
                visit(0, "", *of[i].workspace == '{' ? "package.json"
                                                     : "package.json pnpm-workspace.yaml",
                      of[i].workspace);
                visit(1, of[i].path, "package.json package-lock.json", "{}");
                CHECK_ROW((plan.count == 1) == of[i].member, of[i].workspace);
                CHECK_ROW(has_note("belongs to a workspace above") == of[i].member, of[i].workspace);
        }
}

TEST(below_a_project_only_a_lock_file_makes_another)
{
        fresh();
        visit(0, "", "package.json", "{}");
        visit(1, "web", "package.json", "{}");
        CHECK(plan.count == 1);
        visit(1, "app", "package.json yarn.lock", "{}");
        CHECK(plan.count == 2 && !strcmp(plan.steps[1].dir, "app"));
        fresh();
        visit(0, "", "", NULL);
        visit(1, "a", "", NULL);
        visit(2, "a/b", "package.json", "{}");
        visit(3, "a/b/c", "package.json", "{}");
        visit(3, "a/d/c", "Cargo.toml", NULL);
        CHECK(plan.count == 1 && !strcmp(plan.steps[0].dir, "a/b"));
}

TEST(a_go_work_binds_the_modules_below_it)
{
        fresh();
        visit(0, "", "go.mod", NULL);
        visit(1, "tool", "go.mod", NULL);
        CHECK(plan.count == 2);
        fresh();
        visit(0, "", "go.work", NULL);
        visit(1, "tool", "go.mod", NULL);
        CHECK(plan.count == 1);
}

TEST(several_pip_projects_do_not_share_an_interpreter)
{
        fresh();
        visit(0, "", "requirements.txt", NULL);
        visit(1, "b", "requirements.txt", NULL);
        auto_settle(&plan);
        CHECK(!strcmp(plan.steps[0].command, "python -m pip install -r requirements.txt"));
        CHECK(!strcmp(plan.steps[1].command, "venv-pip install -r requirements.txt"));
        CHECK(has_note("2 Python projects"));
}

TEST(more_steps_than_there_is_room_for_are_left_out_and_said)
{
        fresh();
        for (unsigned i = 0; i < AUTO_STEPS + 3; i++)
                visit(0, "", "Cargo.toml", NULL);
        CHECK(plan.count == AUTO_STEPS && plan.full && has_note("left out"));
}

TEST(a_version_that_a_file_asks_for_is_a_hint)
{
        fresh();
        auto_dir_read(&dirs[0], FILE_NVMRC, "v20.11\n", 7);
        auto_dir_read(&dirs[0], FILE_PYTHON_VERSION, "3.12\r\n3.11\n", 11);
        visit(0, "", ".nvmrc .python-version", NULL);
        CHECK(has_note(".nvmrc asks for node v20.11") && has_note("asks for python 3.12"));
        fresh();
        auto_dir_read(&dirs[0], FILE_NVMRC, "20\"; rm", 7);
        CHECK(!dirs[0].node[0]);
}

TEST(the_script_has_each_step_and_quotes_its_directory)
{
        struct wr w = wr_of(script, sizeof(script) - 1);

        fresh();
        visit(0, "", "", NULL);
        visit(1, "it's $(x)\n", "package.json", "{}");
        auto_script(&w, &plan);
        wr_cstr(&w);
        CHECK(!w.full);
        CHECK(strstr(script, "\nairlock_step 1 1 install 'it'\\''s $(x)\n' "
                             "'package.json, no lock file' "));
}
