package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/run"
)

func TestDeny(t *testing.T) {
	t.Parallel()
	const npub = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"
	const key = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	deny := func(wantCode int, args ...string) string {
		t.Helper()
		code, stdout, stderr := here(append(append([]string{"deny"}, args...), "--deny", one+","+two)...)
		if code != wantCode {
			t.Errorf("deny %q: exit code %d, want %d: %s", args, code, wantCode, stderr)
		}
		return stdout + stderr
	}
	if err := os.WriteFile(two, []byte("# from somebody else\nhost spam.example.com"), 0o600); err != nil {
		t.Fatal(err)
	}
	deny(run.ExitFailed, "ls") // the first is not there yet
	deny(run.ExitOK, "add", npub)
	deny(run.ExitOK, "add", "word", "buy", "followers")
	if got := deny(run.ExitOK, "add", "key", strings.ToUpper(key)); !strings.HasSuffix(got, ", already\n") {
		t.Errorf("added twice: %s", got)
	}
	if got := deny(run.ExitOK, "add", "host", "SPAM.example.com."); !strings.Contains(got, two+":2: ") {
		t.Errorf("added twice, in two files: %s", got)
	}
	want := one + ":1: key " + key + "\n" + one + ":2: word buy followers\n" + two + ":2: host spam.example.com\n"
	if got := deny(run.ExitOK, "ls"); got != want {
		t.Errorf("ls says %s, want %s", got, want)
	}
	if got := deny(run.ExitOK, "ls", "--json"); !strings.Contains(got, `{"what":"word","value":"buy followers","file":"`+one+`","line":2}`) {
		t.Errorf("ls --json says %s", got)
	}
	for wrong, say := range map[string]string{"kind x": "0 to 65535", "hots a": "want key", "key 12": "key:", "word a\nkind 1": "one line"} {
		if got := deny(run.ExitUsage, append([]string{"add"}, strings.Split(wrong, " ")...)...); !strings.Contains(got, say) {
			t.Errorf("%s: %s", wrong, got)
		}
	}
	deny(run.ExitOK, "rm", npub)
	deny(run.ExitOK, "rm", "host", "spam.example.com")
	deny(run.ExitFailed, "rm", npub)
	for path, want := range map[string]string{one: "word buy followers\n", two: "# from somebody else\n"} {
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v, want %q", path, text, err, want)
		}
	}
	if info, err := os.Stat(two); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(two, []byte("kind 1\nkind one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := deny(run.ExitFailed, "ls"); !strings.Contains(got, two+": line 2: kind: ") {
		t.Errorf("a wrong line: %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".deny-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if code, _, stderr := here("deny", "ls"); code != run.ExitUsage || !strings.Contains(stderr, "--deny") {
		t.Errorf("without files: %d, %s", code, stderr)
	}
}
