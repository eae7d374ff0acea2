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
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { readyz(w, r, ready()) })
	for path, handler := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.Handle("GET /debug/pprof/"+path, loopback(handler))
	}
	if console != nil {
		mux.Handle("/", console)
	}
	server := &http.Server{
		Handler: byOwnName(mux, names), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("couldn't listen for the admin endpoint: %w", err)
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
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin endpoint: %w", err)
	}
	<-closed
	return nil
}

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
