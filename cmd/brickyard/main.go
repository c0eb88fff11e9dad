// Brickyard bakes just-enough-OS images from declarative recipes, the same bits every time, and
// delivers them to machines that people own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"brickyard/internal/cli"
)

func main() {
	cli.Inner(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // from here on, a second ^C kills
	os.Exit(cli.Main(ctx, cli.OSEnv(), os.Args[1:]))
}
