/* Pictures of the simulated screen, and of servers that do not play along. */
#include "vm/picture.h"
#include <sys/socket.h>
#include <turbojpeg.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/loop.h"
#include "hyper/sim/screen.h"
#include "test.h"

#define SECOND 1000000ULL

static unsigned char *decode(int fd, int *ret_width, int *ret_height)
{
    AUTO(buf_done) struct buf b;
    int sampling, colours;
    tjhandle h = tjInitDecompress();

    buf_init(&b, 1024 * 1024);
    CHECK_OK(fd_read_all(fd, &b));
    unsigned char *jpeg = (unsigned char *)b.p;
    CHECK(tjDecompressHeader3(h, jpeg, b.len, ret_width, ret_height, &sampling, &colours) == 0);
    unsigned char *pixels = calloc((size_t)*ret_width * (size_t)*ret_height, 3);
    CHECK(tjDecompress2(h, jpeg, b.len, pixels, *ret_width, 0, *ret_height, TJPF_RGB, 0) == 0);
    tjDestroy(h);
    return pixels;
}

TEST_FIBER(a_picture_shows_what_the_screen_shows)
{
    AUTO(fd_drop) int jpeg = -1;
    int screen = -1, width = 0, height = 0;

    CHECK_OK(sim_screen_open(loop, "a screen", &screen));
    CHECK_OK(picture_take(screen, clock_now(loop) + 30 * SECOND, &jpeg));
    unsigned char *pixels = decode(jpeg, &width, &height);
    CHECK_INT(width, 320);
    CHECK_INT(height, 200);
    /* eight bars: the first is red, the second green, the eighth nearly black */
    unsigned char *first = pixels + (5 * 320 + 20) * 3, *second = first + 40 * 3, *last = first + 280 * 3;
    CHECK(first[0] > 200 && first[1] < 100 && first[2] < 100);
    CHECK(second[0] < 100 && second[1] > 200 && second[2] < 100);
    CHECK(last[0] < 100 && last[1] < 100 && last[2] < 100);
    free(pixels);
}

static struct err *take(struct loop *loop, const char *said, size_t len, bool hang_up)
{
    AUTO(fd_drop) int jpeg = -1;
    int pair[2];

    CHECK_OK(socket_pair(pair));
    CHECK(send(pair[1], said, len, 0) == (ssize_t)len);
    if (hang_up)
        close(pair[1]);
    struct err *e = picture_take(pair[0], clock_now(loop) + SECOND, &jpeg);
    if (!hang_up)
        close(pair[1]);
    CHECK(jpeg < 0);
    return e;
}

TEST_FIBER(servers_that_are_silent_gone_or_strange_are_given_up)
{
    CHECK_ERR(take(loop, "", 0, false), "INTERNAL_ERROR");
    CHECK_ERR(take(loop, "RFB 003.008\n", 12, true), "INTERNAL_ERROR");
    CHECK_ERR(take(loop, "RFB 003.008\n\1\2", 14, false), "INTERNAL_ERROR");
    CHECK_ERR(take(loop, "HTTP/1.1 200 OK\r\n", 17, false), "INTERNAL_ERROR");
}
