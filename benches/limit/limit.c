/* The limit: the least that a program can do for an answer, with the system calls of Linux alone.
 *
 *   limit batched PORT LENGTH ANSWER     answers with recvmmsg(2) and sendmmsg(2), 32 at a time, and
 *                                        IP_PKTINFO (ip(7)), so that each answer leaves from the
 *                                        address that was asked
 *   limit plain PORT LENGTH ANSWER       answers with recvfrom(2) and sendto(2)
 *   limit sweep FIRST LAST PORT          sends a request to each address with sendmmsg(2), 64 at a
 *                                        time, waits for an answer, and prints the seconds
 *
 * A request has LENGTH bytes and begins with DISCOVER_SERVER. ANSWER is sent as it is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define REQUEST "DISCOVER_SERVER"
#define REQUEST_LEN (sizeof REQUEST - 1)
#define BUFFER_LEN 600
#define RECEIVED_AT_ONCE 32
#define SENT_AT_ONCE 64

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int open_socket(int port) {
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    int size = 4 << 20, on = 1;
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&local, sizeof local) < 0)
        fail("bind");
    /* The second needs a privilege that a laboratory may lack. */
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (setsockopt(descriptor, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) < 0)
        fail("IP_PKTINFO");
    return descriptor;
}

static int is_request(const char *datagram, unsigned length, unsigned expected) {
    return length == expected && memcmp(datagram, REQUEST, REQUEST_LEN) == 0;
}

static void answer_batches(int port, unsigned expected, char *answer) {
    static char datagrams[RECEIVED_AT_ONCE][BUFFER_LEN];
    static struct sockaddr_in sources[RECEIVED_AT_ONCE];
    static struct mmsghdr requests[RECEIVED_AT_ONCE], answers[RECEIVED_AT_ONCE];
    static struct iovec into[RECEIVED_AT_ONCE];
    static union {
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct cmsghdr align;
    } arrivals[RECEIVED_AT_ONCE];
    struct iovec from = {answer, strlen(answer)};
    int descriptor = open_socket(port);

    puts("ready");
    fflush(stdout);
    for (;;) {
        for (int i = 0; i < RECEIVED_AT_ONCE; i++) {
            into[i] = (struct iovec){datagrams[i], BUFFER_LEN};
            requests[i].msg_hdr = (struct msghdr){
                .msg_name = &sources[i],
                .msg_namelen = sizeof sources[i],
                .msg_iov = &into[i],
                .msg_iovlen = 1,
                .msg_control = &arrivals[i],
                .msg_controllen = sizeof arrivals[i],
            };
        }
        int received = recvmmsg(descriptor, requests, RECEIVED_AT_ONCE, MSG_WAITFORONE, NULL);
        int count = 0, sent = 0;
        for (int i = 0; i < received; i++) {
            struct msghdr *request = &requests[i].msg_hdr;
            struct cmsghdr *control = CMSG_FIRSTHDR(request);
            if (!is_request(datagrams[i], requests[i].msg_len, expected) || !control)
                continue;
            /* The answer leaves from the address asked, and by the interface that the routes choose. */
            struct in_pktinfo *arrival = (struct in_pktinfo *)CMSG_DATA(control);
            arrival->ipi_ifindex = 0;
            answers[count++].msg_hdr = (struct msghdr){
                .msg_name = request->msg_name,
                .msg_namelen = request->msg_namelen,
                .msg_iov = &from,
                .msg_iovlen = 1,
                .msg_control = request->msg_control,
                .msg_controllen = request->msg_controllen,
            };
        }
        while (sent < count) {
            int now = sendmmsg(descriptor, answers + sent, count - sent, 0);
            sent += now > 0 ? now : 1;
        }
    }
}

static void answer_one_by_one(int port, unsigned expected, const char *answer) {
    char datagram[BUFFER_LEN];
    size_t length = strlen(answer);
    int descriptor = open_socket(port), off = 0;

    setsockopt(descriptor, IPPROTO_IP, IP_PKTINFO, &off, sizeof off);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct sockaddr_in source;
        socklen_t source_length = sizeof source;
        ssize_t received = recvfrom(descriptor, datagram, sizeof datagram, 0,
                                    (struct sockaddr *)&source, &source_length);
        if (received > 0 && is_request(datagram, received, expected))
            sendto(descriptor, answer, length, 0, (struct sockaddr *)&source, source_length);
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static void sweep(const char *first, const char *last, int port) {
    static struct sockaddr_in destinations[SENT_AT_ONCE];
    static struct mmsghdr requests[SENT_AT_ONCE];
    struct iovec from = {REQUEST, REQUEST_LEN};
    struct timeval patience = {.tv_sec = 2};
    char answer[BUFFER_LEN];
    int descriptor = open_socket(0);
    double start = seconds();

    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (unsigned next = ntohl(inet_addr(first)), end = ntohl(inet_addr(last)) + 1; next < end;) {
        int count = 0, sent = 0;
        for (; count < SENT_AT_ONCE && next < end; count++) {
            destinations[count] = (struct sockaddr_in){
                .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(next++)};
            requests[count].msg_hdr = (struct msghdr){
                .msg_name = &destinations[count],
                .msg_namelen = sizeof destinations[count],
                .msg_iov = &from,
                .msg_iovlen = 1,
            };
        }
        while (sent < count) {
            int now = sendmmsg(descriptor, requests + sent, count - sent, 0);
            if (now < 0)
                fail("sendmmsg");
            sent += now;
        }
    }
    if (recv(descriptor, answer, sizeof answer, 0) < 0)
        fail("no answer");
    printf("%.6f\n", seconds() - start);
}

int main(int count, char **words) {
    if (count == 5 && strcmp(words[1], "batched") == 0)
        answer_batches(atoi(words[2]), atoi(words[3]), words[4]);
    else if (count == 5 && strcmp(words[1], "plain") == 0)
        answer_one_by_one(atoi(words[2]), atoi(words[3]), words[4]);
    else if (count == 5 && strcmp(words[1], "sweep") == 0)
        sweep(words[2], words[3], atoi(words[4]));
    else
        return 2;
    return 0;
}
