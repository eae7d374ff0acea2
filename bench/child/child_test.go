package child

import (
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestMain makes this program a strfry, if it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[2] != "relay" {
		os.Exit(m.Run())
	}
	text, err := os.ReadFile(strings.TrimPrefix(os.Args[1], "--config="))
	if err == nil {
		at := regexp.MustCompile(`bind = "(.+)"\s+port = (\d+)\s`).FindStringSubmatch(string(text))
		var ln net.Listener
		for ln, err = net.Listen("tcp", net.JoinHostPort(at[1], at[2])); err == nil; {
			_, err = ln.Accept()
		}
	}
	panic(err)
}

func TestAWordIsReadFromWhatAProgramPrints(t *testing.T) {
	t.Parallel()
	p, word, err := Start("it is up: ", "sh", "-c", `echo starting; printf 'it is u'; printf 'p: ws://x and more'; echo; exec sleep 60`)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if word != "ws://x" {
		t.Errorf("%q", word)
	}
}

func TestAProgramThatEndsEarlyTellsWhy(t *testing.T) {
	t.Parallel()
	_, _, err := Start("it is up", "sh", "-c", "echo no such file >&2; exit 1")
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	_, err = StartStrfry(t.Context(), "false", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "ended early") {
		t.Error(err)
	}
}

func TestStrfryIsStartedWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	s, err := StartStrfry(t.Context(), os.Args[0], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if s.CPU() < 0 || s.PID() == 0 {
		t.Error("it tells nothing of itself")
	}
}
