//go:build docs

package docs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long something may take that takes moments on a quiet
// machine.
const patience = 2 * time.Minute

// TestMain lets the test binary be the nats command, too.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nats": natsCommand})
}

// natsCommand does what the nats command of the NATS project does: nats
// request SUBJECT BODY, and nats publish. The real one takes minutes to build.
func natsCommand() {
	log := func(err error) {
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
	}
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	log(err)
	defer nc.Close()
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "request":
		answer, err := nc.Request(args[1], []byte(args[2]), patience)
		log(err)
		os.Stdout.Write(append(answer.Data, '\n'))
	case len(args) == 3 && args[0] == "publish":
		log(nc.Publish(args[1], []byte(args[2])))
		log(nc.Flush())
	default:
		log(errors.New("nats: want request or publish, a subject and a body"))
	}
}

// The scripts know three commands of their own, whose last argument begins with
// a $ that stands alone, and after it what a page shows, word by word:
//
//	$ COMMAND               runs it; placeholders are expanded
//	until $ COMMAND         runs it again until it succeeds
//	daemon TEXT $ COMMAND   leaves it running once it has printed the text;
//	                        the end of the script stops it, which must succeed
func TestScripts(t *testing.T) {
	w := newWorld(t)
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Setup:              w.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"$": func(ts *testscript.TestScript, neg bool, args []string) {
				if err := shellOut(ts, args); (err != nil) != neg {
					ts.Fatalf("%s: %v", strings.Join(args, " "), err)
				}
			},
			"until": func(ts *testscript.TestScript, _ bool, args []string) {
				var err error
				for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
					if err = shellOut(ts, args[1:]); err == nil {
						return
					}
				}
				ts.Fatalf("%s: %v", strings.Join(args, " "), err)
			},
			"daemon": func(ts *testscript.TestScript, _ bool, args []string) { daemon(ts, args[0], args[2:]) },
		},
	})
}

// shellOut gives a command to a shell: a page may have pipes in it.
func shellOut(ts *testscript.TestScript, args []string) error {
	var line []string
	for _, arg := range expandPlaceholders(ts, args) {
		if arg != "|" && arg != ">" {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line = append(line, arg)
	}
	return ts.Exec("sh", "-c", strings.Join(line, " "))
}

func expandPlaceholders(ts *testscript.TestScript, args []string) (out []string) {
	places := ts.Value(placeholdersKey{}).(*strings.Replacer)
	for _, arg := range args {
		out = append(out, places.Replace(arg))
	}
	return out
}

// daemon starts a process of this script.
func daemon(ts *testscript.TestScript, text string, args []string) {
	args = expandPlaceholders(ts, args)
	t := ts.Value(testKey{}).(testing.TB)
	program := args[0]
	if !strings.Contains(program, "/") {
		for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
			if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
				program = filepath.Join(dir, program)
				break
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range ts.Value(namesKey{}).([]string) {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	watch := &watcher{want: []byte(text), found: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = watch, io.MultiWriter(watch, t.Output())
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ts.Defer(func() {
		cancel()
		// Wait returns the context's error for one that ended well.
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: stopped: %v\n%s", strings.Join(args, " "), err, watch.text())
		}
	})
	select {
	case <-watch.found:
	case err := <-ended:
		ended <- err
		ts.Fatalf("%s: ended before it printed %q: %v\n%s", strings.Join(args, " "), text, err, watch.text())
	case <-time.After(patience):
		ts.Fatalf("%s: has not printed %q\n%s", strings.Join(args, " "), text, watch.text())
	}
}

// watcher tells when it has seen a text.
type watcher struct {
	want  []byte
	found chan struct{}
	mu    sync.Mutex
	seen  []byte
	told  bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, p...)
	if !w.told && bytes.Contains(w.seen, w.want) {
		w.told = true
		close(w.found)
	}
	return len(p), nil
}

func (w *watcher) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.seen)
}
