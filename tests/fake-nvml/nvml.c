/* A small stand-in for NVIDIA's management library, for tests. Each build acts out one machine; what
 * it does is chosen by macros:
 *
 *   DEVICES=n            whole devices (1)
 *   MIG                  the first device is divided into two instances of seven
 *   INIT=code            what initialising returns
 *   GONE_AFTER=n GONE=c  after n looks every call returns c
 *   NO_ENERGY, NO_POWER, NO_THROTTLE, NO_PROCESSES
 *                        the device does not tell
 *   OLD                  functions that drivers before 2021 lack are missing
 *   SLOW_MS=n            reading power takes so long
 *   HOT                  it is held down by heat
 *
 * Names, numbers and layouts are those of NVIDIA's public API reference. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

#ifndef DEVICES
#define DEVICES 1
#endif
#ifndef INIT
#define INIT SUCCESS
#endif
#ifndef GONE
#define GONE 15
#endif

typedef struct device { unsigned number; int is_instance; } *handle;

static struct device whole[DEVICES];
static struct device instance[2];
static unsigned looks;

static int gone(void) {
#ifdef GONE_AFTER
    return looks > GONE_AFTER;
#else
    return 0;
#endif
}

#define ALIVE() do { if (gone()) return GONE; } while (0)
#define WHOLE_ONLY(device) do { if ((device)->is_instance) return NOT_SUPPORTED; } while (0)

int nvmlInit_v2(void) {
    for (unsigned n = 0; n < DEVICES; n++) whole[n].number = n;
    for (unsigned n = 0; n < 2; n++) { instance[n].number = n; instance[n].is_instance = 1; }
    return INIT;
}
int nvmlShutdown(void) { return SUCCESS; }

int nvmlSystemGetDriverVersion(char *text, unsigned length) { ALIVE(); snprintf(text, length, "580.95.05"); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *version) { ALIVE(); *version = 13000; return SUCCESS; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { ALIVE(); *version = 13000; return SUCCESS; }
int nvmlSystemGetProcessName(unsigned pid, char *name, unsigned length) {
    ALIVE();
    if (pid != 4242) return NOT_FOUND;
    snprintf(name, length, "/usr/bin/ollama");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) { ALIVE(); *count = DEVICES; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle *device) {
    ALIVE();
    if (index >= DEVICES) return INVALID_ARGUMENT;
    *device = &whole[index];
    return SUCCESS;
}
int nvmlDeviceGetName(handle device, char *name, unsigned length) {
    ALIVE();
    snprintf(name, length, device->is_instance ? "Stand-in MIG 1g.10gb" : "Stand-in GPU");
    return SUCCESS;
}
int nvmlDeviceGetUUID(handle device, char *text, unsigned length) {
    ALIVE();
    snprintf(text, length, "%s-%u", device->is_instance ? "MIG" : "GPU", device->number);
    return SUCCESS;
}

int nvmlDeviceGetMigMode(handle device, unsigned *current, unsigned *pending) {
    ALIVE();
#ifdef MIG
    *current = *pending = device->number == 0;
    return SUCCESS;
#else
    (void)device; (void)current; (void)pending;
    return NOT_SUPPORTED;
#endif
}
int nvmlDeviceGetMaxMigDeviceCount(handle device, unsigned *count) { ALIVE(); (void)device; *count = 7; return SUCCESS; }
int nvmlDeviceGetMigDeviceHandleByIndex(handle device, unsigned index, handle *found) {
    ALIVE();
    (void)device;
    /* The first and the fourth place are taken. */
    if (index != 0 && index != 3) return NOT_FOUND;
    *found = &instance[index != 0];
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(handle device, unsigned *rates) {
    looks++;
    ALIVE();
    WHOLE_ONLY(device);
    rates[0] = 93;
    rates[1] = 71;
    return SUCCESS;
}

typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory;
#ifndef OLD
int nvmlDeviceGetMemoryInfo_v2(handle device, memory *info) {
    ALIVE();
    info->total = device->is_instance ? 10ull << 30 : 80ull << 30;
    info->used = 3ull << 30;
    info->free = info->total - info->used;
    info->reserved = 0;
    return SUCCESS;
}

typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;
int nvmlDeviceGetComputeRunningProcesses_v3(handle device, unsigned *count, process *list) {
    ALIVE();
    (void)device;
#ifdef NO_PROCESSES
    (void)count; (void)list;
    return NOT_SUPPORTED;
#else
    unsigned room = *count;
    *count = 2;
    if (room < 2) return INSUFFICIENT_SIZE;
    list[0] = (process){ 4242, 2ull << 30, ~0u, ~0u };
    list[1] = (process){ 4343, 1ull << 30, ~0u, ~0u };
    return SUCCESS;
#endif
}
#endif

int nvmlDeviceGetPowerUsage(handle device, unsigned *milliwatts) {
    ALIVE();
    WHOLE_ONLY(device);
#ifdef SLOW_MS
    struct timespec pause = { SLOW_MS / 1000, (SLOW_MS % 1000) * 1000000L };
    nanosleep(&pause, NULL);
#endif
#ifdef NO_POWER
    return NOT_SUPPORTED;
#else
    *milliwatts = 121500;
    return SUCCESS;
#endif
}
int nvmlDeviceGetPowerManagementLimit(handle device, unsigned *milliwatts) {
    ALIVE();
    WHOLE_ONLY(device);
    *milliwatts = 130000;
    return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(handle device, unsigned long long *millijoules) {
    ALIVE();
    WHOLE_ONLY(device);
#ifdef NO_ENERGY
    return NOT_SUPPORTED;
#else
    static unsigned long long counted[DEVICES];
    counted[device->number] += 30375;
    *millijoules = 1000000000ull + counted[device->number];
    return SUCCESS;
#endif
}
int nvmlDeviceGetTemperature(handle device, unsigned sensor, unsigned *degrees) {
    ALIVE();
    WHOLE_ONLY(device);
    (void)sensor;
    *degrees = 68;
    return SUCCESS;
}
int nvmlDeviceGetClockInfo(handle device, unsigned kind, unsigned *megahertz) {
    ALIVE();
    WHOLE_ONLY(device);
    *megahertz = kind == 2 ? 8750 : 2175;
    return SUCCESS;
}
int nvmlDeviceGetMaxClockInfo(handle device, unsigned kind, unsigned *megahertz) {
    ALIVE();
    (void)device; (void)kind;
    *megahertz = 2500;
    return SUCCESS;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(handle device, unsigned long long *reasons) {
    ALIVE();
    WHOLE_ONLY(device);
#ifdef NO_THROTTLE
    return NOT_SUPPORTED;
#elif defined HOT
    *reasons = 0x20 | 0x40;
    return SUCCESS;
#else
    *reasons = 0x4;
    return SUCCESS;
#endif
}
