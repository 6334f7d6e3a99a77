#pragma once
#include <stddef.h>

/*
 * What memory and stacks of our own tell the sanitizers; nothing in an
 * ordinary build. Used by arena.c and fiber.c only.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#define asan_hide(p, size) __asan_poison_memory_region((p), (size))
#define asan_show(p, size) __asan_unpoison_memory_region((p), (size))
#define asan_switch_begin(save, bottom, size) __sanitizer_start_switch_fiber((save), (bottom), (size))
#define asan_switch_end(save, bottom, size) __sanitizer_finish_switch_fiber((save), (bottom), (size))
#define lsan_root_add(p, size) __lsan_register_root_region((p), (size))
#define lsan_root_remove(p, size) __lsan_unregister_root_region((p), (size))
#else
#define asan_hide(p, size) ((void)(p), (void)(size))
#define asan_show(p, size) ((void)(p), (void)(size))
#define asan_switch_begin(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#define asan_switch_end(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#define lsan_root_add(p, size) ((void)(p), (void)(size))
#define lsan_root_remove(p, size) ((void)(p), (void)(size))
#endif

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define tsan_fiber_self() __tsan_get_current_fiber()
#define tsan_fiber_new() __tsan_create_fiber(0)
#define tsan_fiber_free(f) __tsan_destroy_fiber(f)
#define tsan_fiber_switch(f) __tsan_switch_to_fiber((f), 0)
#else
#define tsan_fiber_self() NULL
#define tsan_fiber_new() NULL
#define tsan_fiber_free(f) ((void)(f))
#define tsan_fiber_switch(f) ((void)(f))
#endif
