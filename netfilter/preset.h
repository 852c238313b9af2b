/*
 * netfilter/preset.h - the hosts of the preset common-dependencies, as data.
 *
 * Make turns rootfs/presets/common-dependencies.txt, the published list, and
 * common-dependencies-cdn.txt, ours, into one text: a host in normal form on each line.
 * Each means itself and its subdomains.
 */
#ifndef NETFILTER_PRESET_H
#define NETFILTER_PRESET_H

/* Every line ends with a newline, the last one too. */
extern const char preset_common[];

#endif
