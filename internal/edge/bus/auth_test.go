package bus_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.ca(), "CERTIFICATE", der)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

// ca is the file of the authority's own certificate.
func (a *authority) ca() string { return filepath.Join(a.dir, "ca.pem") }

// sign writes a certificate of that name, and its key, in place of one that is
// there.
func (a *authority) sign(name string, serial int64) (cert, key string) {
	a.t.Helper()
	own := a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writePEM(a.t, cert, "CERTIFICATE", der)
	writePEM(a.t, key, "PRIVATE KEY", secret)
	return cert, key
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runServer runs a server with that configuration until the test ends.
func runServer(t *testing.T, config string) *server.Server {
	t.Helper()
	return runServerIn(t, t.TempDir(), config)
}

// runServerIn has its configuration in dir, which it may include files of.
func runServerIn(t *testing.T, dir, config string) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile(write(t, filepath.Join(dir, "nats.conf"), "listen: 127.0.0.1:-1\n"+config))
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("server is not ready")
	}
	return s
}

// dial connects once, and fails if it does not.
func dial(t *testing.T, url string, a bus.Auth) (*nats.Conn, error) {
	t.Helper()
	opts, err := a.Options()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc, err := bus.Dial(ctx, url, "fetcher", slog.New(slog.DiscardHandler), opts...)
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

// refused wants an error at once, long before the context ends, that says so.
func refused(t *testing.T, name string, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: connected", name)
		return
	}
	says(t, name, err, append(want, "--nats-")...)
	if strings.Contains(err.Error(), "deadline") {
		t.Errorf("%s: was tried for ever: %v", name, err)
	}
}

func says(t *testing.T, name string, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v, want %q", name, err, w)
		}
	}
}

func TestTLSToNATS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	cert, key := ours.sign("server", 2)
	s := runServer(t, "tls { cert_file: "+cert+", key_file: "+key+" }")
	nc, err := dial(t, s.ClientURL(), bus.Auth{CA: ours.ca()})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := nc.TLSConnectionState(); err != nil || state.PeerCertificates[0].SerialNumber.Int64() != 2 {
		t.Errorf("TLS: %+v, %v", state, err)
	}
	_, err = dial(t, s.ClientURL(), bus.Auth{CA: others.ca()})
	refused(t, "wrong CA", err, "unknown authority", "--nats-ca")
	_, err = dial(t, s.ClientURL(), bus.Auth{})
	refused(t, "the system's CAs", err, "unknown authority", "--nats-ca")
	_, err = dial(t, strings.Replace(s.ClientURL(), "127.0.0.1", "localhost", 1), bus.Auth{CA: ours.ca()})
	refused(t, "another name", err, "localhost")
	_, err = dial(t, runServer(t, "").ClientURL(), bus.Auth{CA: ours.ca()})
	refused(t, "a server without TLS", err, "TLS")
}

func TestMutualTLSToNATS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	cert, key := ours.sign("server", 2)
	s := runServer(t, "tls { cert_file: "+cert+", key_file: "+key+", ca_file: "+ours.ca()+", verify: true }")
	own, ownKey := ours.sign("fetcher", 3)
	if _, err := dial(t, s.ClientURL(), bus.Auth{CA: ours.ca(), Cert: own, Key: ownKey}); err != nil {
		t.Fatal(err)
	}
	_, err := dial(t, s.ClientURL(), bus.Auth{CA: ours.ca()})
	refused(t, "no certificate", err, "--nats-cert")
	foreign, foreignKey := others.sign("fetcher", 3)
	_, err = dial(t, s.ClientURL(), bus.Auth{CA: ours.ca(), Cert: foreign, Key: foreignKey})
	refused(t, "a certificate of another authority", err, "--nats-cert")
}

func TestAuthFilesThatAreWrong(t *testing.T) {
	a := newAuthority(t)
	cert, _ := a.sign("one", 2)
	_, other := a.sign("other", 3)
	const secret = "SUAMY SECRET"
	text := write(t, filepath.Join(a.dir, "text"), secret)
	for name, c := range map[string]struct {
		auth bus.Auth
		want string
	}{
		"no CA file":     {bus.Auth{CA: filepath.Join(a.dir, "none")}, "--nats-ca"},
		"no PEM":         {bus.Auth{CA: text}, "holds no certificate"},
		"a key missing":  {bus.Auth{Cert: cert}, "without the other"},
		"a key too much": {bus.Auth{Key: other}, "without the other"},
		"of another":     {bus.Auth{Cert: cert, Key: other}, "private key does not match"},
		"no creds file":  {bus.Auth{Creds: filepath.Join(a.dir, "none")}, "--nats-creds"},
		"no creds":       {bus.Auth{Creds: text}, "neither an nkey seed"},
	} {
		if _, err := c.auth.Options(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for _, urls := range []string{"nats://user:pass word@127.0.0.1:4222", "nats://a,nats://user:pass\x01word@b"} {
		if _, err := dial(t, urls, bus.Auth{}); err == nil || !strings.Contains(err.Error(), "is not a URL") ||
			strings.Contains(err.Error(), "pass") {
			t.Errorf("%q: %v", urls, err)
		}
	}
}

// A connection outlives that the server's certificate, and the authority that
// has signed it, are replaced, if the file of --nats-ca is, too.
func TestReconnectAfterACertificateIsRotated(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	cert, key := before.sign("server", 2)
	s := runServer(t, "tls { cert_file: "+cert+", key_file: "+key+" }")
	nc, err := dial(t, s.ClientURL(), bus.Auth{CA: before.ca()})
	if err != nil {
		t.Fatal(err)
	}
	reconnected := nc.StatusChanged(nats.CONNECTED)
	newCert, newKey := after.sign("server", 9)
	for from, to := range map[string]string{newCert: cert, newKey: key, after.ca(): before.ca()} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, string(text))
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reconnected:
	case <-time.After(time.Minute):
		t.Fatal("no reconnection")
	}
	if err := nc.Flush(); err != nil { // TLSConnectionState looks without a lock
		t.Fatal(err)
	}
	if state, err := nc.TLSConnectionState(); err != nil || state.PeerCertificates[0].SerialNumber.Int64() != 9 {
		t.Errorf("TLS: %+v, %v", state, err)
	}
}

// newUser returns a user's nkey and a file with its seed.
func newUser(t *testing.T) (public, file string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ = key.PublicKey()
	seed, _ := key.Seed()
	return public, write(t, filepath.Join(t.TempDir(), "seed"), string(seed)+"\n")
}

func TestNkeyToNATS(t *testing.T) {
	public, seed := newUser(t)
	_, stranger := newUser(t)
	s := runServer(t, "authorization { users: [ { nkey: "+public+" } ] }")
	if _, err := dial(t, s.ClientURL(), bus.Auth{Creds: seed}); err != nil {
		t.Fatal(err)
	}
	for name, creds := range map[string]string{"nobody": "", "another key": stranger} {
		_, err := dial(t, s.ClientURL(), bus.Auth{Creds: creds})
		refused(t, name, err, "Authorization Violation", "--nats-creds")
	}
}

func TestWhatAUserMayNotDoIsNoMereTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := natstest.StartOn(t, t.TempDir(),
			natstest.User("narrow", contract.Permissions{Publish: []string{"x"}, Subscribe: []string{"_INBOX_test.>"}}))
		js := natstest.ConnectAs(t, s, "test", "narrow")
		if err := bus.Explain(js.Conn(), nil); err != nil {
			t.Errorf("success became %v", err)
		}
		never := fmt.Errorf("no answer: %w", context.DeadlineExceeded)
		if err := bus.Explain(js.Conn(), never); !errors.Is(err, never) || strings.Contains(err.Error(), "permission") {
			t.Errorf("before anything was denied: %v", err)
		}
		_, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{})
		says(t, "provision", bus.Explain(js.Conn(), err), "provision stream INTAKE", "$JS.API.STREAM.", "nats-permissions", "--nats-creds")
		if err := bus.Explain(js.Conn(), errors.New("something else")); strings.Contains(err.Error(), "permission") {
			t.Errorf("an error that no denial explains became %v", err)
		}
	})
}

func TestAnAccountWithoutJetStreamIsToldWhatToDo(t *testing.T) {
	s := runServer(t, "jetstream { store_dir: "+strconv.Quote(t.TempDir())+" }\naccounts { A { users: [ { user: a, password: b } ] } }")
	nc, err := bus.Dial(t.Context(), strings.Replace(s.ClientURL(), "://", "://a:b@", 1), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, err = bus.Provision(t.Context(), js, bus.ProvisionOptions{})
	says(t, "provision", bus.Explain(nc, err), "JetStream not enabled for account", "jetstream: enabled")
}

// jwtUser writes a .creds file for a new user of an account.
func jwtUser(t *testing.T, account nkeys.KeyPair, expires time.Time) string {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := key.PublicKey()
	claims := jwt.NewUserClaims(public)
	claims.Name, claims.Expires = "fetcher", expires.Unix()
	token, err := claims.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := key.Seed()
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(t.TempDir(), "user.creds"), string(creds))
}

func TestJWTToNATS(t *testing.T) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	operatorID, _ := operator.PublicKey()
	accountID, _ := account.PublicKey()
	operatorJWT, err := jwt.NewOperatorClaims(operatorID).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	accountJWT, err := jwt.NewAccountClaims(accountID).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	s := runServer(t, "operator: "+operatorJWT+"\nresolver: MEMORY\nresolver_preload: { "+accountID+": "+accountJWT+" }")
	if _, err := dial(t, s.ClientURL(), bus.Auth{Creds: jwtUser(t, account, time.Now().Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	for name, creds := range map[string]string{
		"nobody": "", "of another account": jwtUser(t, stranger, time.Now().Add(time.Hour)),
		"expired": jwtUser(t, account, time.Now().Add(-time.Hour)),
	} {
		_, err := dial(t, s.ClientURL(), bus.Auth{Creds: creds})
		refused(t, name, err, "--nats-creds")
	}
}

// Whoever is locked out by mistake goes on trying, and is back when let in.
func TestALockedOutWorkerComesBack(t *testing.T) {
	public, seed := newUser(t)
	stranger, _ := newUser(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "users.conf")
	allow := func(who string) { write(t, path, "authorization { users: [ { nkey: "+who+" } ] }") }
	allow(public)
	s := runServerIn(t, dir, "include users.conf")
	log := &lines{ch: make(chan struct{}, 1000)}
	opts, err := bus.Auth{Creds: seed}.Options()
	if err != nil {
		t.Fatal(err)
	}
	nc, err := bus.Dial(t.Context(), s.ClientURL(), "fetcher", slog.New(slog.NewTextHandler(log, nil)),
		append(opts, nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	allow(stranger)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(time.Minute); !strings.Contains(log.String(), "authorization violation"); {
		select {
		case <-log.ch:
		case <-deadline:
			t.Fatalf("%s, %v: %s", nc.Status(), nc.LastError(), log)
		}
	}
	back := nc.StatusChanged(nats.CONNECTED)
	allow(public)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-back:
	case <-time.After(time.Minute):
		t.Fatalf("is not back: %s, %v\n%s", nc.Status(), nc.LastError(), log)
	}
}
