package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// ConnectOptions are the options of every connection of relaymesh: it
// reconnects for ever, receives replies under an inbox prefix that
// permissions can be granted for ("_INBOX_" and the name), and logs what
// would otherwise look like a timeout, above all denied permissions.
func ConnectOptions(name string, log *slog.Logger) []nats.Option {
	log = log.With("connection", name)
	return []nats.Option{
		nats.Name(name),
		nats.CustomInboxPrefix(events.InboxPrefix(token(name))),
		nats.MaxReconnects(-1),
		nats.ReconnectJitter(500*time.Millisecond, 2*time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			args := []any{"err", err}
			if sub != nil {
				args = append(args, "subject", sub.Subject)
			}
			if errors.Is(err, nats.ErrPermissionViolation) {
				log.Error("NATS denies this worker a permission that it needs", args...)
				return
			}
			log.Warn("NATS reports an error", args...)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the connection to NATS, reconnecting", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected to NATS again", "url", nc.ConnectedUrlRedacted())
		}),
	}
}

// Dial connects to a NATS server elsewhere (one URL or several, separated by
// commas). It keeps trying until ctx ends, since a worker often starts before
// its server. The caller closes the connection.
func Dial(ctx context.Context, urls, name string, log *slog.Logger, opts ...nats.Option) (*nats.Conn, error) {
	opts = append(append(ConnectOptions(name, log), nats.RetryOnFailedConnect(true)), opts...)
	nc, err := nats.Connect(urls, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", Redact(urls), err)
	}
	connected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(connected)
	if nc.IsConnected() {
		return nc, nil
	}
	select {
	case <-connected:
		return nc, nil
	case <-ctx.Done():
		err := errors.Join(context.Cause(ctx), nc.LastError())
		nc.Close()
		return nil, fmt.Errorf("connect to NATS at %s: is the server running there? %w", Redact(urls), err)
	}
}

// Redact hides passwords and tokens in the URLs of servers.
func Redact(urls string) string {
	if urls == "" {
		return ""
	}
	list := strings.Split(urls, ",")
	for i, s := range list {
		u, err := url.Parse(strings.TrimSpace(s))
		switch {
		case err != nil:
			list[i] = "(not a URL)"
		case u.User != nil:
			u.User = url.User("xxxxx")
			list[i] = u.String()
		}
	}
	return strings.Join(list, ",")
}

// token makes one subject token of a name.
func token(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(".*> \t\r\n", r) {
			return '_'
		}
		return r
	}, name)
}
