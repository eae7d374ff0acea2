package child

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/internal/testkit/process"
)

// StrfryEnv is the environment variable that names a binary of strfry, for benchmarks to
// measure it, too.
const StrfryEnv = "STRFRY"

// strfryConfig lets strfry take old events, and leaves the limit of open files as it
// is, which may be lower than it wants.
const strfryConfig = `db = "%s/"
events {
    rejectEventsOlderThanSeconds = 9999999999
}
relay {
    bind = "%s"
    port = %s
    nofiles = 0
}
`

// routerConfig has strfry's router follow a relay.
const routerConfig = `streams {
    there {
        dir = "down"
        urls = [
            "%s"
        ]
    }
}
`

// Strfry is a relay of strfry with a database of its own.
type Strfry struct {
	*Process

	URL    string
	dir    string
	config string
}

// StartStrfry runs the relay of a binary of strfry, with its database in a directory of
// its own within dir.
func StartStrfry(ctx context.Context, binary, dir string) (*Strfry, error) {
	dir, err := os.MkdirTemp(dir, "strfry")
	if err != nil {
		return nil, err
	}
	addr := loopback.Addr()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	s := &Strfry{URL: "ws://" + addr, dir: dir, config: filepath.Join(dir, "strfry.conf")}
	if err := os.WriteFile(s.config, fmt.Appendf(nil, strfryConfig, dir, host, port), 0o600); err != nil {
		return nil, err
	}
	var log bytes.Buffer
	s.Process = &Process{process.Process{Program: binary, Args: []string{"--config=" + s.config, "relay"}, Log: &log}}
	if err := s.Start(); err != nil {
		return nil, err
	}
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return s, conn.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.Done():
			return nil, fmt.Errorf("%s ended early:\n%s", binary, &log)
		case <-ctx.Done():
			s.Kill()
			return nil, ctx.Err()
		}
	}
}

// Follow runs strfry's router, which stores in the relay's database all that another relay
// receives from now on.
func (s *Strfry) Follow(url string) (*Process, error) {
	config := filepath.Join(s.dir, "router.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, routerConfig, url), 0o600); err != nil {
		return nil, err
	}
	p := &Process{process.Process{Program: s.Program, Args: []string{"--config=" + s.config, "router", config}, Log: os.Stderr}}
	return p, p.Start()
}
