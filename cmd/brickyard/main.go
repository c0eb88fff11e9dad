// Brickyard bakes just-enough-OS images from declarative recipes, the same bits every time, and
// delivers them to machines that people own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"brickyard/internal/cli"
)

func main() {
	cli.Inner(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// From a second later on, another ^C kills. Until then it may be the first once more: the kernel tells a
	// process inside a user namespace of its parent's death once for each of the parent's threads.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(cli.Main(ctx, cli.OSEnv(), os.Args[1:]))
}
