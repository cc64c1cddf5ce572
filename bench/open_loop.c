/* An open-loop load generator: a request leaves when it is due, whether earlier ones are answered or not.

   open_loop HOST PORT FILE STEPS CONNECTIONS MOST TIMEOUT_MS WAITING SEED

   FILE holds whole HTTP/1.1 requests, each after a line with its length in bytes; they are sent in turn. STEPS is
   rate:seconds,rate:seconds,... SEED 0 spaces arrivals evenly; another one draws them (Poisson). It begins with
   CONNECTIONS and opens more while arrivals wait for one, up to MOST. At most WAITING wait, none longer than the
   timeout; the rest is counted as not sent. A connection has one request under way.

   A latency counts from when the request was due, and so does what it waited here: a server that stalls is charged
   with all that would have been asked meanwhile. The timeout counts from when it is sent. Prints one line of JSON;
   ends by itself, at most two timeouts after the last arrival. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "open_loop_counts.h"
#include "open_loop_plan.h"

enum { HEAD = 4096, EVENTS = 128 };

enum state { CLOSED, CONNECTING, IDLE, BUSY };

struct connection {
    struct connection *before, *after; /* of those that are idle, or of those that wait, the longest first */
    int fd;
    enum state state;
    int64_t since; /* connecting or waiting for an answer */
    struct arrival arrival;
    const char *out;
    size_t out_left, have;
    int64_t body_left; /* -1: the head is not complete */
    int status;
    bool closes;
    char head[HEAD];
};

static struct sockaddr_in address;
static struct counts *counted; /* one a step */
static struct second *seconds;
static struct latencies this_second, lags;
static int64_t begun, second_now, second_count;
static struct connection *connections, **spare, idle, busy;
static int spare_count, most, connecting, most_open;
static struct arrival *queue;
static size_t queue_begin, queue_length, queue_most, next_request;
static int64_t timeout;
static int poll_fd;

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

/* ---- counting ---- */

static struct second *second_at(int64_t now)
{
    int64_t second = begun ? (now - begun) / SECOND : 0;
    if (second >= second_count)
        second = second_count - 1;
    if (second > second_now) {
        seconds[second_now].p99_ms = within_ms(&this_second, 0.99);
        memset(&this_second, 0, sizeof this_second);
        second_now = second;
    }
    return &seconds[second];
}

static void count_failure(uint64_t *what, int64_t now)
{
    (*what)++;
    second_at(now)->failed++;
}

static void count_answer(struct connection *one, int64_t now)
{
    struct counts *step = &counted[one->arrival.step];
    struct second *second = second_at(now);
    int64_t took = now - one->arrival.due;
    if (one->status / 100 == 2) {
        keep(&step->ok, took);
        keep(&this_second, took);
        second->ok++;
    } else if (one->status == 429 || one->status == 503) {
        keep(&step->refused, took);
        *(one->status == 429 ? &step->limited : &step->unavailable) += 1;
        second->refused++;
    } else {
        count_failure(&step->other, now);
    }
}

/* ---- arrivals that wait for a connection ---- */

static struct arrival take_arrival(void)
{
    struct arrival first = queue[queue_begin];
    queue_begin = (queue_begin + 1) % queue_most;
    queue_length--;
    return first;
}

static void add_arrival(struct arrival one, int64_t now)
{
    counted[one.step].arrivals++;
    keep(&lags, now - one.due);
    if (queue_length == queue_most)
        count_failure(&counted[one.step].not_sent, now);
    else
        queue[(queue_begin + queue_length++) % queue_most] = one;
}

/* ---- connections ---- */

static void leave(struct connection *one)
{
    one->before->after = one->after;
    one->after->before = one->before;
}

static void join(struct connection *last_of, struct connection *one)
{
    one->before = last_of->before;
    one->after = last_of;
    one->before->after = last_of->before = one;
}

static void shut(struct connection *one)
{
    leave(one);
    if (one->state == CONNECTING)
        connecting--;
    close(one->fd);
    one->state = CLOSED;
    spare[spare_count++] = one;
}

/* What it was for has failed. A connection that never was takes the arrival that has waited longest with it. */
static void fail(struct connection *one, bool late, int64_t now)
{
    if (one->state == BUSY)
        count_failure(late ? &counted[one->arrival.step].timeouts : &counted[one->arrival.step].broken, now);
    else if (one->state == CONNECTING && !begun)
        give_up("cannot connect");
    else if (one->state == CONNECTING && queue_length)
        count_failure(&counted[take_arrival().step].connect_errors, now);
    shut(one);
}

static void open_one(int64_t now)
{
    struct connection *one = spare[--spare_count];
    int yes = 1;
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (one->fd < 0)
        give_up("no more sockets");
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = one};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, one->fd, &event))
        give_up("epoll_ctl");
    one->state = CONNECTING;
    one->since = now;
    one->out_left = 0;
    connecting++;
    join(&busy, one);
    if (most - spare_count > most_open)
        most_open = most - spare_count;
    if (connect(one->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail(one, false, now);
}

static void become_idle(struct connection *one)
{
    if (one->state == CONNECTING)
        connecting--;
    leave(one);
    one->state = IDLE;
    join(&idle, one);
}

static bool send_rest(struct connection *one)
{
    while (one->out_left) {
        ssize_t sent = send(one->fd, one->out, one->out_left, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN;
        one->out += sent;
        one->out_left -= (size_t)sent;
    }
    return true;
}

static void dispatch(int64_t now)
{
    while (queue_length && now - queue[queue_begin].due > timeout)
        count_failure(&counted[take_arrival().step].not_sent, now);
    while (queue_length && idle.after != &idle) {
        struct connection *one = idle.after;
        one->out = requests[next_request].bytes;
        one->out_left = requests[next_request].length;
        if (!send_rest(one)) { /* closed by the server meanwhile: nothing was sent */
            shut(one);
            continue;
        }
        next_request = (next_request + 1) % request_count;
        leave(one);
        one->state = BUSY;
        one->arrival = take_arrival();
        one->since = now;
        one->have = 0;
        one->body_left = -1;
        join(&busy, one);
    }
    while (spare_count && (size_t)connecting < queue_length)
        open_one(now);
}

/* ---- answers ---- */

static const char *header(const struct connection *one, size_t length, const char *name)
{
    for (const char *line = one->head; (line = memchr(line, '\n', length - (size_t)(line - one->head)));)
        if (!strncasecmp(++line, name, strlen(name)))
            return line + strlen(name) + strspn(line + strlen(name), " \t");
    return NULL;
}

/* False when it is no answer. */
static bool feed(struct connection *one, const char *bytes, size_t count)
{
    if (one->body_left >= 0) {
        one->body_left -= (int64_t)count;
        return one->body_left >= 0;
    }
    size_t before = one->have, taken = count < HEAD - 1 - before ? count : HEAD - 1 - before;
    memcpy(one->head + before, bytes, taken);
    one->head[one->have += taken] = 0;
    const char *end = memmem(one->head, one->have, "\r\n\r\n", 4);
    if (!end)
        return one->have < HEAD - 1;
    size_t length = (size_t)(end - one->head) + 4;
    const char *size = header(one, length, "content-length:"), *connection = header(one, length, "connection:");
    if (!size || sscanf(one->head, "HTTP/1.%*1d %3d", &one->status) != 1)
        return false;
    one->closes = connection && !strncasecmp(connection, "close", 5);
    one->body_left = strtoll(size, NULL, 10) - (int64_t)(before + count - length);
    return one->body_left >= 0;
}

static void receive(struct connection *one, bool to_the_end)
{
    static char bytes[65536];
    for (ssize_t got = sizeof bytes; got == sizeof bytes || to_the_end;) {
        got = recv(one->fd, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        int64_t now = now_ns();
        if (got <= 0 || one->state != BUSY || !feed(one, bytes, (size_t)got)) {
            fail(one, false, now);
            return;
        }
        if (one->body_left == 0) {
            count_answer(one, now);
            become_idle(one);
            if (one->closes) {
                shut(one);
                return;
            }
        }
    }
}

static void handle(struct connection *one, uint32_t events, int64_t now)
{
    if (one->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        errno = error;
        if (error)
            fail(one, false, now);
        else if (events & EPOLLOUT)
            become_idle(one);
    } else if ((events & EPOLLOUT) && !send_rest(one)) {
        fail(one, false, now);
        return;
    }
    if (one->state != CLOSED && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        receive(one, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

/* Sleeps until something happens or `until`, and deals with it. */
static void wait_for_events(int timer, int64_t until)
{
    static struct epoll_event events[EVENTS];
    static int64_t set;
    if (busy.after != &busy && busy.after->since + timeout < until)
        until = busy.after->since + timeout;
    if (queue_length && queue[queue_begin].due + timeout < until)
        until = queue[queue_begin].due + timeout;
    until += 1; /* 0 would switch it off */
    if (until != set || until < now_ns()) {
        struct itimerspec when = {.it_value = {until / SECOND, until % SECOND}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
        set = until;
    }
    int found = epoll_wait(poll_fd, events, EVENTS, -1);
    int64_t now = now_ns();
    for (int place = 0; place < found; place++)
        if (events[place].data.ptr)
            handle(events[place].data.ptr, events[place].events, now);
    now = now_ns();
    while (busy.after != &busy && now - busy.after->since > timeout)
        fail(busy.after, true, now);
}

static void run(int at_first, uint64_t seed)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (timer < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer, &event))
        give_up("timerfd");
    for (int64_t now = now_ns(); most - spare_count < at_first;)
        open_one(now);
    while (connecting)
        wait_for_events(timer, now_ns() + timeout);
    begun = now_ns() + SECOND / 100;
    int64_t last = set_off(begun, seed) + 2 * timeout;
    struct arrival next;
    bool more = next_arrival(&next);
    for (int64_t now = now_ns(); more || queue_length || (busy.after != &busy && now < last); now = now_ns()) {
        for (; more && next.due <= now; more = next_arrival(&next))
            add_arrival(next, now);
        dispatch(now);
        wait_for_events(timer, more ? next.due : last);
    }
    while (busy.after != &busy)
        fail(busy.after, true, last);
}

/* ---- before and after ---- */

static void print_all(void)
{
    static struct counts total;
    printf("{\"steps\":[");
    for (int step = 0; step < step_count; step++) {
        counted[step].seconds = steps[step].seconds;
        add_counts(&total, &counted[step]);
        print_counts(&counted[step]);
        printf(step + 1 < step_count ? "," : "],\"total\":");
    }
    print_counts(&total);
    seconds[second_now].p99_ms = within_ms(&this_second, 0.99);
    for (int64_t place = 0; place <= second_now; place++)
        printf("%s{\"ok\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"p99_ms\":%.4f}",
               place ? "," : ",\"seconds\":[", seconds[place].ok, seconds[place].refused, seconds[place].failed,
               seconds[place].p99_ms);
    printf("],\"connections\":%d,", most_open);
    print_latencies("lag", &lags);
    puts("}");
}

int main(int count, char **arguments)
{
    errno = 0;
    if (count != 10)
        give_up("HOST PORT FILE STEPS CONNECTIONS MOST TIMEOUT_MS WAITING SEED");
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)number(arguments[2], 1, 65535));
    if (inet_pton(AF_INET, arguments[1], &address.sin_addr) != 1)
        give_up("HOST is an IPv4 address");
    timeout = number(arguments[7], 1, 60000) * 1000000;
    counted = calloc(MOST_STEPS, sizeof *counted);
    read_requests(arguments[3]);
    second_count = (int64_t)read_steps(arguments[4]) + 2 * timeout / SECOND + 2;
    seconds = calloc((size_t)second_count, sizeof *seconds);
    most = (int)number(arguments[6], 1, 25000);
    int at_first = (int)number(arguments[5], 1, most);
    queue_most = (size_t)number(arguments[8], 1, 1000000);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    queue = calloc(queue_most, sizeof *queue);
    connections = calloc((size_t)most, sizeof *connections);
    spare = calloc((size_t)most, sizeof *spare);
    idle.before = idle.after = &idle;
    busy.before = busy.after = &busy;
    for (int place = most; place--;)
        spare[spare_count++] = &connections[place];
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    run(at_first, (uint64_t)number(arguments[9], 0, INT32_MAX));
    print_all();
    return 0;
}
