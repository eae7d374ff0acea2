package k8s_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	kwok  = "sigs.k8s.io/kwok@v0.8.0" // for its stages: how a fake node treats pods
	nodes = 3
	token = "of-the-test"
)

// controlPlane is a Kubernetes of real processes on loopback whose nodes are
// fake: all that decides is real (admission, controllers, scheduler), and
// containers are only said to run.
type controlPlane struct {
	bin, dir string
	api      string
	died     chan error // of processes that ended by themselves
}

// start runs a control plane until the test ends. make test-k8s builds its
// programs and sets RELAYMESH_KUBERNETES.
func start(t *testing.T) *controlPlane {
	t.Helper()
	bin := os.Getenv("RELAYMESH_KUBERNETES")
	if bin == "" {
		t.Skip("it needs a Kubernetes, which make test-k8s builds")
	}
	c := &controlPlane{bin: bin, dir: t.TempDir(), api: "127.0.0.1:" + freePort(t), died: make(chan error, 5)}
	c.write(t, "tokens", token+",operator,operator,system:masters\n")
	c.write(t, "kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c,
contexts: [{name: c, context: {cluster: c, user: operator}}],
clusters: [{name: c, cluster: {server: "https://%s", certificate-authority: %s}}],
users: [{name: operator, user: {token: %s}}]}`, c.api, c.path("certs/apiserver.crt"), token))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "accounts.key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	c.write(t, "kwok.yaml", stages(t))

	etcd := "http://127.0.0.1:" + freePort(t)
	c.run(t, "etcd", "--data-dir", c.path("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", "http://127.0.0.1:"+freePort(t), "--unsafe-no-fsync")
	_, port, _ := net.SplitHostPort(c.api)
	c.run(t, "kube-apiserver", "--etcd-servers", etcd, "--bind-address=127.0.0.1", "--secure-port", port, "--cert-dir", c.path("certs"),
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16", "--token-auth-file", c.path("tokens"),
		"--authorization-mode=RBAC", "--service-account-issuer=https://"+c.api,
		"--service-account-key-file", c.path("accounts.key"), "--service-account-signing-key-file", c.path("accounts.key"))
	c.eventually(t, "the API server is ready", func() error { return c.try(t, nil, "get", "--raw=/readyz") })
	// A busy machine must not look like one whose nodes are lost.
	c.run(t, "kube-controller-manager", "--kubeconfig", c.path("kubeconfig"), "--leader-elect=false", "--secure-port=0",
		"--service-account-private-key-file", c.path("accounts.key"), "--node-monitor-grace-period=10m")
	c.run(t, "kube-scheduler", "--kubeconfig", c.path("kubeconfig"), "--leader-elect=false", "--secure-port=0")
	c.run(t, "kwok", "--kubeconfig", c.path("kubeconfig"), "--config", c.path("kwok.yaml"), "--manage-all-nodes",
		"--node-lease-duration-seconds=40")

	c.kubectl(t, nil, "apply", "--server-side", "-f", filepath.Join(module(t, keda), "config", "crd", "bases"))
	operator := filepath.Join(module(t, prometheus), "example", "prometheus-operator-crd", "monitoring.coreos.com_")
	c.kubectl(t, nil, "apply", "--server-side", "-f", operator+"podmonitors.yaml", "-f", operator+"prometheusrules.yaml")
	c.kubectl(t, nil, "wait", "--for=condition=Established", "crd", "--all", "--timeout=2m")
	for i := range nodes {
		c.kubectl(t, []byte(fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: node-%d, labels: {
kubernetes.io/hostname: node-%d, topology.kubernetes.io/zone: zone-%d}}}`, i, i, i)), "create", "-f", "-")
	}
	c.kubectl(t, nil, "wait", "--for=condition=Ready", "node", "--all", "--timeout=2m")
	return c
}

// stages returns a configuration of kwok: pods start, are ready and, of a Job,
// complete as soon as they have a node.
func stages(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(module(t, kwok), "kustomize", "stage")
	var all []string
	for _, kind := range []string{"node/fast", "node/heartbeat-with-lease", "pod/fast"} {
		docs, _ := render(t, filepath.Join(dir, kind))
		all = append(all, string(bytes.Join(docs, []byte("---\n"))))
	}
	return strings.Join(all, "---\n")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (c *controlPlane) path(name string) string { return filepath.Join(c.dir, name) }

func (c *controlPlane) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run starts a process that ends with the test, at the latest with the thread
// that started it. What it wrote last is shown if the test fails.
func (c *controlPlane) run(t *testing.T, program string, args ...string) {
	t.Helper()
	logs, err := os.Create(c.path(program + ".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(c.bin, program), args...)
	cmd.Stdout, cmd.Stderr = logs, logs
	// Debian's etcd cannot serve such a watch, and each would time out first
	cmd.Env = append(os.Environ(), "KUBE_FEATURE_WatchListClient=false")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		c.died <- fmt.Errorf("%s ended: %w", program, cmd.Wait())
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = logs.Close()
		if text, err := os.ReadFile(logs.Name()); t.Failed() && err == nil {
			t.Logf("the end of the log of %s:\n%s", program, text[max(0, len(text)-3000):])
		}
	})
}

// output runs kubectl and returns what it prints, and as an error what it complains of.
func (c *controlPlane) output(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.path("kubeconfig")}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, complaints.String())
	}
	if strings.Contains(complaints.String(), "Warning:") {
		return out.String(), fmt.Errorf("kubectl %s: %s", strings.Join(args, " "), complaints.String())
	}
	return out.String(), nil
}

// try runs kubectl and returns its complaint. A warning is one, too.
func (c *controlPlane) try(t *testing.T, stdin []byte, args ...string) error {
	t.Helper()
	_, err := c.output(t.Context(), stdin, args...)
	return err
}

// kubectl runs kubectl, which must succeed, and returns what it prints.
func (c *controlPlane) kubectl(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	out, err := c.output(t.Context(), stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// get returns the objects of a kind in the namespace relaymesh.
func (c *controlPlane) get(t *testing.T, args ...string) []any {
	t.Helper()
	var l object
	out := c.kubectl(t, nil, append([]string{"get", "--namespace=relaymesh", "--output=json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatal(err)
	}
	return list(l, "items")
}

// eventually waits for what has no command that waits for it.
func (c *controlPlane) eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	for deadline := time.After(3 * time.Minute); ; {
		err := check()
		if err == nil {
			return
		}
		select {
		case err := <-c.died:
			t.Fatal(err)
		case <-deadline:
			t.Fatalf("not so after three minutes: %s: %v", what, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// lines is a writer that says when a line with a certain text has been written.
type lines struct {
	wanted string
	seen   chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if strings.Contains(l.text.String(), l.wanted) {
		select {
		case <-l.seen:
		default:
			close(l.seen)
		}
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
