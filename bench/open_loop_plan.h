/* What open_loop.c sends, and when: the requests, the steps, one arrival after the other. */

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 64, MOST_REQUESTS = 1 << 20, SECOND = 1000000000 };

struct request { const char *bytes; size_t length; };

struct arrival { int64_t due; int step; };

static struct request *requests;
static size_t request_count;
static struct { double rate, seconds; int64_t begin, end; } steps[MOST_STEPS];
static int step_count;
static bool drawn_at_random;
static uint64_t random_state;

static void give_up(const char *why)
{
    fprintf(stderr, "open_loop: %s%s%s\n", why, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(2);
}

static long number(const char *text, long least, long largest)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || end == text || value < least || value > largest)
        give_up("a number is missing or out of its bounds");
    return value;
}

static void read_requests(const char *name)
{
    FILE *file = fopen(name, "rb");
    size_t length;
    if (!file)
        give_up("cannot open the requests");
    requests = calloc(MOST_REQUESTS, sizeof *requests);
    while (request_count < MOST_REQUESTS && fscanf(file, "%zu", &length) == 1) {
        char *bytes = length && length < 1 << 20 ? malloc(length) : NULL;
        if (!bytes || fgetc(file) != '\n' || fread(bytes, 1, length, file) != length)
            give_up("the requests are not whole");
        requests[request_count++] = (struct request){bytes, length};
    }
    if (!request_count || !feof(file))
        give_up("no requests, too many, or no length before one");
    fclose(file);
}

/* How many seconds they are altogether. */
static double read_steps(const char *text)
{
    double total = 0;
    for (int used; sscanf(text, "%lf:%lf%n", &steps[step_count].rate, &steps[step_count].seconds, &used) == 2;) {
        double rate = steps[step_count].rate, length = steps[step_count].seconds;
        if (!(rate >= 0 && rate <= 1e6 && length > 0 && (total += length) <= 3600) || ++step_count == MOST_STEPS)
            give_up("steps: at most 63, of 0 to 1,000,000/s, an hour altogether");
        if (*(text += used) != ',')
            break;
        text++;
    }
    if (!step_count || *text)
        give_up("steps are rate:seconds,rate:seconds");
    return total;
}

/* The first step begins at `begin`. When the last one ends. */
static int64_t set_off(int64_t begin, uint64_t seed)
{
    drawn_at_random = seed > 0;
    random_state = seed;
    for (int step = 0; step < step_count; begin = steps[step++].end) {
        steps[step].begin = begin;
        steps[step].end = begin + (int64_t)(steps[step].seconds * SECOND);
    }
    return begin;
}

/* Above 0, at most 1. */
static double random_share(void)
{
    random_state += 0x9E3779B97F4A7C15ULL; /* splitmix64 */
    uint64_t mixed = random_state;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
    return ((double)((mixed ^ (mixed >> 31)) >> 11) + 1) / 9007199254740993.0;
}

/* The next arrival that is due, or false after the last. */
static bool next_arrival(struct arrival *next)
{
    static int step;
    static uint64_t number;
    static double drawn;
    for (; step < step_count; step++, number = 0, drawn = 0) {
        double rate = steps[step].rate, after = (double)number / (rate > 0 ? rate : 1);
        if (rate > 0 && drawn_at_random) {
            drawn -= log(random_share()) / rate;
            after = drawn;
        }
        int64_t due = steps[step].begin + (int64_t)(after * SECOND);
        number++;
        if (rate > 0 && due < steps[step].end) {
            *next = (struct arrival){due, step};
            return true;
        }
    }
    return false;
}
