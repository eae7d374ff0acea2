package obs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// closing is how long a request may take to end when the endpoint stops.
const closing = 3 * time.Second

// Check is one condition of readiness; a nil Err means that it holds.
type Check struct {
	Name string
	Err  error
}

// ServeAdmin serves /metrics, /livez and /readyz on addr until ctx ends,
// /debug/pprof/ to callers on the same machine, and console, unless it is nil,
// everywhere else; all of it only by localhost, an IP address or one of the names.
// ready returns the conditions of readiness, which /readyz
// lists with ?verbose, or where one does not hold. /livez never
// depends on anything outside, or one outage would restart every worker. The
// contexts of requests end with ctx.
func ServeAdmin(
	ctx context.Context, addr string, names []string, gatherer prometheus.Gatherer, ready func() []Check, console http.Handler,
) error {
	a, err := ListenAdmin(ctx, addr, names)
	if err != nil {
		return err
	}
	a.Started(gatherer, ready, console)
	return a.Wait()
}

// Admin is the endpoint of [ServeAdmin], which listens before there is anything but
// its process to tell of.
type Admin struct {
	handler atomic.Pointer[http.Handler]
	ended   chan error
}

// ListenAdmin listens on addr until ctx ends. Until [Admin.Started] it answers /livez,
// and to everything else that the process is starting.
func ListenAdmin(ctx context.Context, addr string, names []string) (*Admin, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("couldn't listen for the admin endpoint: %w", err)
	}
	a := &Admin{ended: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		readyz(w, r, []Check{{Name: "running", Err: errStarting}})
	})
	a.serve(mux)
	now := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*a.handler.Load()).ServeHTTP(w, r) })
	server := &http.Server{
		Handler:           byOwnName(now, names),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	go func() {
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.ended <- fmt.Errorf("admin endpoint: %w", err)
			return
		}
		<-closed
		a.ended <- nil
	}()
	return a, nil
}

var errStarting = errors.New("starting")

// Started has the endpoint serve all that [ServeAdmin] does.
func (a *Admin) Started(gatherer prometheus.Gatherer, ready func() []Check, console http.Handler) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { readyz(w, r, ready()) })
	for path, handler := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.Handle("GET /debug/pprof/"+path, loopback(handler))
	}
	if console != nil {
		mux.Handle("/", console)
	}
	a.serve(mux)
}

func (a *Admin) serve(h http.Handler) { a.handler.Store(&h) }

// Wait returns when the endpoint has ended, with the reason if that is not the end of
// its context. It is called once.
func (a *Admin) Wait() error { return <-a.ended }

func livez(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

func readyz(w http.ResponseWriter, r *http.Request, checks []Check) {
	status, verbose := http.StatusOK, r.URL.Query().Has("verbose")
	var list strings.Builder
	for _, c := range checks {
		switch {
		case c.Err != nil:
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&list, "[-] %s: %v\n", c.Name, c.Err)
		case verbose:
			fmt.Fprintf(&list, "[+] %s\n", c.Name)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if status == http.StatusOK {
		list.WriteString("ok\n")
	}
	fmt.Fprint(w, list.String())
}

// loopback refuses callers from elsewhere: profiles tell what the process does,
// and its flags. A proxy on the machine passes on for others, and a page of
// another site may have its name lead here (DNS rebinding).
func loopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		passedOn := r.Header.Get("X-Forwarded-For")+r.Header.Get("Forwarded")+r.Header.Get("Via") != ""
		if err != nil || !from.Addr().Unmap().IsLoopback() || passedOn || !ownName(r.Host, nil) {
			http.Error(w, "only from the machine itself; kubectl port-forward counts as that", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// byOwnName refuses requests by a name that is none of ours: a page of another
// site may have its name lead here (DNS rebinding) and read what is answered.
func byOwnName(next http.Handler, names []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ownName(r.Host, names) {
			http.Error(w, "not known by this name; if it is right, add it to --admin-hosts", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownName reports whether a Host header is localhost or an address, which cannot
// be another site's, or one of the names.
func ownName(host string, names []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(host, ".")
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	own := func(name string) bool { return strings.EqualFold(strings.TrimSuffix(name, "."), host) }
	return err == nil || own("localhost") || host != "" && slices.ContainsFunc(names, own)
}
