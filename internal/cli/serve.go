package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"brickyard/internal/catalog/registry"

	"github.com/spf13/cobra"
)

// serveFlags are what the user says.
type serveFlags struct {
	listen, cert, key string
}

func serveCmd(env *Env) *cobra.Command {
	f := serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve [FLAGS]",
		Short: "serve the images to OCI clients, and take in what they push",
		Long: `Serve the catalogue as an OCI registry, until it is asked to end.

Nobody gets in without a user's name and token, which "brickyard user add" makes. What is served to other
machines is encrypted: without a certificate and its key, only addresses of this machine's own are taken.`,
		Example: `  brickyard serve
  brickyard serve --listen :5000 --tls-cert cert.pem --tls-key key.pem`,
		GroupID: groupMove,
		Args:    cobra.NoArgs,
	}
	fs := cmd.Flags()
	fs.StringVar(&f.listen, "listen", "127.0.0.1:5000", "`[HOST]:PORT` to listen on; port 0 is one that is free")
	fs.StringVar(&f.cert, "tls-cert", "", "`file` with the certificate, and those between it and its authority, PEM")
	fs.StringVar(&f.key, "tls-key", "", "`file` with the certificate's key, PEM")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if (f.cert == "") != (f.key == "") {
			return &usageError{command: cmd.CommandPath(), err: errors.New("--tls-cert and --tls-key go together")}
		}
		return env.serve(cmd.Context(), f)
	}
	return cmd
}

// How long requests may take where nothing happens. Uploads take as long as they need.
const (
	headerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 20 * time.Second
)

func (env *Env) serve(ctx context.Context, f serveFlags) error {
	s, err := env.store()
	if err != nil {
		return err
	}
	l, err := env.listen(ctx, f)
	if err != nil {
		return err
	}
	defer l.Close()
	r := &registry.Registry{Store: s, Catalog: env.catalogOf(s), Now: time.Now}
	server := &http.Server{Handler: r.Handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
	env.say("serving %s on %s", s.Dir(), l.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err = server.Shutdown(stopping)
	if errors.Is(err, context.DeadlineExceeded) { // who is still at it may go on another time
		err = server.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// listen opens the address: encrypted, unless only this machine can reach it.
func (env *Env) listen(ctx context.Context, f serveFlags) (net.Listener, error) {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, &hintedError{fmt.Errorf("--listen %s: %w", f.listen, err), "as 127.0.0.1:5000, or :5000 for all addresses"}
	}
	if ip := net.ParseIP(host); f.cert == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, &hintedError{fmt.Errorf("--listen %s: tokens and images would go over the network for all to read", f.listen),
			"name a certificate with --tls-cert and --tls-key, or listen on 127.0.0.1 and have a proxy encrypt"}
	}
	var config *tls.Config
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", f.cert, f.key, err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", f.listen, err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, nil
}
