package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheFileIsReadAgainAndAWrongOneChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "config.yaml")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * lookEvery)
			synctest.Wait()
		}
		write("streams: {a: {urls: [wss://a.example.com]}}")
		var log strings.Builder
		f, err := OpenStreams(path, false, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		told, version := 0, f.Version()
		named := func() string { return f.Streams()[0].URLs[0] }
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Watch(ctx, func(context.Context) error { told++; return nil }) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if told != 0 {
			t.Errorf("told of %d changes", told)
		}
		write("streams: {a: {fliter: {}}}")
		write("streams: {a: {fliter: {}}}")
		if n := strings.Count(log.String(), "did you mean"); told != 0 || n != 1 || named() != "wss://a.example.com" || f.Version() != version {
			t.Errorf("a wrong file: told %d times, complained %d times: %s", told, n, log.String())
		}
		write("streams: {b: {urls: [wss://b.example.com], dir: up}}")
		if told != 1 || named() != "wss://b.example.com" || f.Version() == version {
			t.Errorf("told %d times, %+v", told, f.Streams())
		}
		write("streams: {a: {urls: [wss://a.example.com]}}")
		write("streams: {b: {urls: [wss://b.example.com]}}")
		if told != 3 {
			t.Errorf("told %d times of three changes", told)
		}
		// An editor that writes in pieces: the first is valid, and half of the file.
		if err := os.WriteFile(path, []byte("streams: {c: {urls: [wss://c.example.com]}}"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		synctest.Wait()
		write("streams: {b: {urls: [wss://b.example.com], dir: up}}")
		if told != 4 || named() != "wss://b.example.com" {
			t.Errorf("told %d times, %+v", told, f.Streams())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if told != 4 || named() != "wss://b.example.com" {
			t.Error("a file that is gone changes something")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
