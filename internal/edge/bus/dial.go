package bus

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/trouble"
)

// mostAnswers bounds what waits of the answers to one question, of which a server sends
// 1,024 and a last word. The room is made for each question: the library's own is 512 KiB.
const mostAnswers = 2048

// ConnectOptions are the options of every connection of relaymesh: it
// reconnects for ever, receives replies under an inbox prefix that
// permissions can be granted for ("_INBOX_" and the name), notices a server
// that is cut off, and logs what would otherwise look like a timeout, above all
// denied permissions.
func ConnectOptions(name string, log *slog.Logger) []nats.Option {
	log = log.With("connection", name)
	// The callbacks of a connection come one at a time.
	away := trouble.Trouble{Log: log, Begins: "lost the connection to NATS, reconnecting", Ends: "connected to NATS again"}
	ctx := context.Background() // callbacks have none
	again := changed(func(err error) {
		log.Warn("cannot connect to NATS again, will go on trying", "err", err)
	})
	return []nats.Option{
		nats.Name(name),
		nats.CustomInboxPrefix(contract.InboxPrefix(token(name))),
		nats.MaxReconnects(-1),
		nats.SyncQueueLen(mostAnswers),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsOut),
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
		nats.IgnoreAuthErrorAbort(), // whoever locked us out by mistake lets us in again
		nats.ReconnectErrHandler(func(nc *nats.Conn, err error) {
			again(nc, err)
			if away.Lasts() {
				away.Note(ctx, err)
			}
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { away.Note(ctx, err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { away.Note(ctx, nil, "url", Redact(nc.ConnectedUrl())) }),
	}
}

// A server whose host or network is gone closes no connection, and TCP goes on
// sending to it for a quarter of an hour. It counts as lost after two to three
// pingEvery: no later than JetStream gives our messages to other workers (30 s),
// and not for a pause in which it only seems to be gone.
const (
	pingEvery = 10 * time.Second
	pingsOut  = 2
)

// changed hands errors on that say something else than the one before.
func changed(report func(error)) nats.ConnErrHandler {
	var last string // the callbacks of a connection come one at a time
	return func(_ *nats.Conn, err error) {
		if err != nil && err.Error() != last {
			last = err.Error()
			report(err)
		}
	}
}

// Dial connects to a NATS server elsewhere (one URL or several, separated by
// commas). It keeps trying until ctx ends, since a worker often starts before
// its server, but not if the servers and we do not know each other: that does
// not mend itself. The caller closes the connection.
func Dial(ctx context.Context, urls, name string, log *slog.Logger, opts ...nats.Option) (*nats.Conn, error) {
	if err := CheckURLs(urls); err != nil {
		return nil, err
	}
	opts = append(ConnectOptions(name, log), opts...)
	away := trouble.Trouble{Log: log, Begins: "waiting for NATS", Ends: "connected to NATS"}
	for {
		nc, err := nats.Connect(urls, opts...)
		if err == nil {
			away.Note(ctx, nil, "url", Redact(urls))
			return nc, nil
		}
		if explained := mistrust(err); explained != nil {
			return nil, fmt.Errorf("connect to NATS at %s: %w", Redact(urls), explained)
		}
		away.Note(ctx, err, "url", Redact(urls))
		select {
		case <-time.After(dialAgain):
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to NATS at %s: is the server running there? %w", Redact(urls), errors.Join(context.Cause(ctx), err))
		}
	}
}

// JetStream returns the JetStream behind a connection as the pipeline of that prefix sees
// it: of the domain, or without one that of the server itself.
func JetStream(nc *nats.Conn, domain string, prefix contract.Prefix, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	api := jetstream.DefaultAPIPrefix
	if domain != "" {
		api = "$JS." + domain + ".API." // jetstreamext 0.3.2 knows no domains
	}
	js, err := jetstream.NewWithAPIPrefix(nc, api, opts...)
	if err != nil || prefix == "" {
		return js, err
	}
	return prefixed{js, prefix}, nil
}

// APIPrefix is what comes before the subjects of the JetStream API, with a dot at its end:
// for requests that the client library does not have.
func APIPrefix(js jetstream.JetStream) string {
	return cmp.Or(js.Options().APIPrefix, jetstream.DefaultAPIPrefix)
}

// dialAgain is how long Dial waits between attempts.
const dialAgain = 500 * time.Millisecond

// mistrust returns an error that says what to do if one side does not trust the
// other, or cannot talk to it; else nil.
func mistrust(err error) error {
	verification, remote := (*tls.CertificateVerificationError)(nil), (*net.OpError)(nil)
	switch {
	case errors.As(err, &verification):
		return fmt.Errorf("%w: name with --nats-ca the certificates that have signed the server's", err)
	case errors.Is(err, nats.ErrTLS), errors.As(err, &remote) && remote.Op == "remote error": // an alert of TLS
		return fmt.Errorf("%w: the server does not accept our certificate, or wants one (--nats-cert, --nats-key)", err)
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("%w: one side wants TLS and the other has none (tls://, --nats-ca)", err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked),
		errors.Is(err, nats.ErrAccountAuthExpired):
		return fmt.Errorf("%w: the server does not accept who we are (--nats-creds)", err)
	}
	return nil
}

// Explain says of an error of NATS what to do about it, as far as the connection
// knows: a request that the server denies looks like a timeout.
func Explain(nc *nats.Conn, err error) error {
	switch denied := nc.LastError(); {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fmt.Errorf("%w: turn it on in the server's configuration (jetstream {}, and jetstream: enabled for the user's account)", err)
	case errors.Is(err, context.DeadlineExceeded) && errors.Is(denied, nats.ErrPermissionViolation):
		return fmt.Errorf("%w: %w: grant this user what relaymesh nats-permissions prints, or be the operator (--nats-creds)", err, denied)
	}
	return err
}

// CheckURLs says whether these are URLs of servers, without repeating them: they
// may hold a password.
func CheckURLs(urls string) error {
	for i, s := range strings.Split(urls, ",") {
		if _, err := serverURL(s); err != nil {
			return fmt.Errorf("--nats: server %d of %s is not a URL like nats://host:4222", i+1, Redact(urls))
		}
	}
	return nil
}

// serverURL reads the URL of a server as the client library does: without a scheme it
// is one of nats://. An @ beside the user's is that of a user who was not recognised.
func serverURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err == nil && strings.Contains(u.Host+u.Path, "@") {
		err = errors.New("it names no host")
	}
	return u, err
}

// Redact hides all that may be a secret in the URLs of servers: whoever we are there,
// since a token stands in the place of a name, and what follows the path.
func Redact(urls string) string {
	if urls == "" {
		return ""
	}
	list := strings.Split(urls, ",")
	for i, s := range list {
		u, err := serverURL(s)
		if err != nil {
			list[i] = "(not a URL)"
			continue
		}
		if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
			continue
		}
		if u.User != nil {
			u.User = url.User("xxxxx")
		}
		u.RawQuery, u.Fragment = "", ""
		list[i] = u.String()
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
