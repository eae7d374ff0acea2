package config

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDenyListsAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
		write := func(path, text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * lookEvery)
			synctest.Wait()
		}
		write(one, "host a.example\n")
		write(two, "# nothing yet\n")
		var log strings.Builder
		f, err := OpenDeny([]string{one, two}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- f.Watch(ctx)
		}()
		changed := f.Lists().Changed()
		denied := func(a, b bool, want int, what string) {
			t.Helper()
			select {
			case <-changed:
				told++
				changed = f.Lists().Changed()
			default:
			}
			if f.Lists().Relay("wss://a.example") != a || f.Lists().Relay("wss://b.example") != b || told != want {
				t.Errorf("%s: a is denied %t, b %t, told %d times", what, f.Lists().Relay("wss://a.example"), f.Lists().Relay("wss://b.example"), told)
			}
		}
		denied(true, false, 0, "at first")
		write(two, "host b.example\n")
		denied(true, true, 1, "the second file")
		write(two, "host b.example\nhots c.example\n")
		write(two, "host b.example\nhots c.example\n")
		denied(true, true, 1, "a wrong line")
		if want := two + ": line 2: "; strings.Count(log.String(), want) != 1 {
			t.Errorf("complained: %s, want once: %s", log.String(), want)
		}
		if err := os.Remove(one); err != nil {
			t.Fatal(err)
		}
		write(two, "")
		denied(true, true, 1, "a file that is gone")
		write(one, "")
		denied(false, false, 2, "nothing any more")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestADenyListThatCannotBeReadIsAnErrorAtTheStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "deny")
	for text, want := range map[string]string{
		"key bob\nkind 1\nkind x": path + ": line 1: key: public key: \"bob\" has 3 characters: want a public key: 64 hex digits, " +
			"npub1… or nprofile1…\ndeny list: " + path + ": line 3: kind: ",
		"\x00": "is no text",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDeny([]string{path}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := OpenDeny([]string{filepath.Join(dir, "none")}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if f, err := OpenDeny(nil, nil); err != nil || f.Lists().Relay("wss://a.example") || f.Watch(t.Context()) != nil {
		t.Errorf("no files: %v", err)
	}
}
