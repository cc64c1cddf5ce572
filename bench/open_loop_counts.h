/* What a run of open_loop.c counts, a step and a second at a time, and how it is printed.

   A latency goes into a bucket less than 0.8 % wide, in microseconds; the longest is kept as it is. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { EXACT = 256, FINE = 128, OCTAVES = 20, BUCKETS = EXACT + FINE * OCTAVES };

struct latencies {
    uint64_t count, longest; /* microseconds */
    uint32_t buckets[BUCKETS];
};

/* What became of the arrivals of a step: each is counted once. */
struct counts {
    double seconds;
    uint64_t arrivals, limited, unavailable, other, timeouts, connect_errors, broken, not_sent;
    struct latencies ok, refused; /* 2xx; 429 and 503 */
};

/* What came back within a second. */
struct second {
    uint64_t ok, refused, failed;
    double p99_ms; /* of ok */
};

static void keep(struct latencies *all, int64_t nanoseconds)
{
    uint64_t value = nanoseconds > 0 ? (uint64_t)nanoseconds / 1000 : 0;
    size_t place = value;
    if (value >= EXACT) {
        int octave = 63 - __builtin_clzll(value) - 7;
        place = octave > OCTAVES ? BUCKETS - 1 : (size_t)(EXACT + (octave - 1) * FINE) + (value >> octave) - FINE;
    }
    all->buckets[place]++;
    all->count++;
    if (value > all->longest)
        all->longest = value;
}

/* The middle of a bucket. */
static double value_of(size_t place)
{
    if (place < EXACT)
        return (double)place;
    size_t octave = (place - EXACT) / FINE + 1, within = (place - EXACT) % FINE + FINE;
    return ((double)within + 0.5) * (double)(1ULL << octave);
}

/* So many milliseconds that `share` of all are within; 0 without any. */
static double within_ms(const struct latencies *all, double share)
{
    double wanted = share * (double)all->count, seen = 0;
    for (size_t place = 0; all->count && place < BUCKETS; place++) {
        seen += all->buckets[place];
        if (seen >= wanted && all->buckets[place])
            return (value_of(place) < (double)all->longest ? value_of(place) : (double)all->longest) / 1000;
    }
    return 0;
}

static void add_latencies(struct latencies *to, const struct latencies *from)
{
    to->count += from->count;
    if (from->longest > to->longest)
        to->longest = from->longest;
    for (size_t place = 0; place < BUCKETS; place++)
        to->buckets[place] += from->buckets[place];
}

static void add_counts(struct counts *to, const struct counts *from)
{
    to->seconds += from->seconds;
    to->arrivals += from->arrivals;
    to->limited += from->limited;
    to->unavailable += from->unavailable;
    to->other += from->other;
    to->timeouts += from->timeouts;
    to->connect_errors += from->connect_errors;
    to->broken += from->broken;
    to->not_sent += from->not_sent;
    add_latencies(&to->ok, &from->ok);
    add_latencies(&to->refused, &from->refused);
}

static void print_latencies(const char *name, const struct latencies *all)
{
    printf("\"%s\":{\"p50_ms\":%.4f,\"p90_ms\":%.4f,\"p99_ms\":%.4f,\"p999_ms\":%.4f,\"longest_ms\":%.4f}", name,
           within_ms(all, 0.5), within_ms(all, 0.9), within_ms(all, 0.99), within_ms(all, 0.999),
           (double)all->longest / 1000);
}

static void print_counts(const struct counts *one)
{
    printf("{\"seconds\":%.6f,\"arrivals\":%" PRIu64 ",\"ok\":%" PRIu64 ",\"limited\":%" PRIu64
           ",\"unavailable\":%" PRIu64 ",\"other\":%" PRIu64 ",\"timeouts\":%" PRIu64 ",\"connect_errors\":%" PRIu64
           ",\"broken\":%" PRIu64 ",\"not_sent\":%" PRIu64 ",",
           one->seconds, one->arrivals, one->ok.count, one->limited, one->unavailable, one->other, one->timeouts,
           one->connect_errors, one->broken, one->not_sent);
    print_latencies("ok_latency", &one->ok);
    putchar(',');
    print_latencies("refused_latency", &one->refused);
    putchar('}');
}
