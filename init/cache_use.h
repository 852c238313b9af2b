/*
 * init/cache_use.h - PID 1's side of the cache: when to ask for a state, when to save one.
 *
 * airlock-cache does the work (init/cache.h). A state that can't be had or saved costs the
 * task nothing but the time of its setup; one that broke half-way ends it, with 75.
 */
#ifndef INIT_CACHE_USE_H
#define INIT_CACHE_USE_H

#include "base/base.h"

struct task;
enum status;

struct cache_use {
        int index, lock;  /* descriptors that airlock-cache wants kept; 0: none */
        bool hit;         /* the root file system is as setup left it */
        bool maintenance; /* and its lock files, or the script, ask for maintenance */
        bool unusable;    /* nothing is saved: a reason was given */
};

/* What an image has that was made of a container with "cache": {"stamp": true}. */
#define CACHE_STAMP "/var/lib/airlock/state.json"

/* Steps. */
enum status cache_restore(struct task *t); /* PROVISION, after the repository's own spec */
enum status cache_reset_tree(struct task *t); /* SETUP after a hit: tracked files as committed */
enum status cache_save(struct task *t);    /* SEAL, when everybody has ended */

#endif
