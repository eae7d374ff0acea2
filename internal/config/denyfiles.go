package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
)

// maxDenyBytes bounds a deny list: some 800,000 keys.
const maxDenyBytes = 64 << 20

// DenyCodes read the keys and events of deny lists.
var DenyCodes = deny.Codes{Key: schnorr.ParsePublicKey, ID: schnorr.ParseEventID}

// DenyFiles are the operator's deny lists, which are read again when they change.
type DenyFiles struct {
	paths []string
	log   *slog.Logger
	file  watched[[]deny.Entry]
	lists deny.Lists
}

// OpenDeny reads deny lists; no paths deny nothing. An error names file and line.
func OpenDeny(paths []string, log *slog.Logger) (*DenyFiles, error) {
	f := &DenyFiles{paths: paths, log: log}
	f.file.read = func() ([]deny.Entry, []byte, error) { return readDeny(paths) }
	if err := f.file.open(); err != nil {
		return nil, err
	}
	f.lists.Set(deny.NewList(f.file.now.Load().value...))
	return f, nil
}

// Lists are what the files deny, at any time.
func (f *DenyFiles) Lists() *deny.Lists { return &f.lists }

// Watch reads the files again when they change and has [DenyFiles.Lists] follow,
// until ctx ends. While one of them is missing or wrong, all stay as they were, and
// it is complained about once.
func (f *DenyFiles) Watch(ctx context.Context) error {
	if len(f.paths) == 0 {
		return nil
	}
	wrong := func(ctx context.Context, err error) {
		f.log.ErrorContext(ctx, "a deny list is wrong, all stay as they were", "err", err)
	}
	return f.file.watch(ctx, wrong, func(ctx context.Context, entries []deny.Entry) error {
		f.lists.Set(deny.NewList(entries...))
		f.log.InfoContext(ctx, "read the deny lists again", "entries", len(entries))
		return nil
	})
}

func readDeny(paths []string) (entries []deny.Entry, all []byte, err error) {
	var errs []error
	for _, path := range paths {
		lines, data, err := ReadDenyFile(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(append(all, data...), '\n')
		for _, l := range lines {
			entries = append(entries, l.Entry)
		}
	}
	return entries, all, errors.Join(errs...)
}

// ReadDenyFile reads one deny list, and returns its text, too. An error names
// file and line, once per line.
func ReadDenyFile(path string) (lines []deny.Line, data []byte, err error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxDenyBytes {
		err = fmt.Errorf("%s: %d bytes, at most %d are read", path, info.Size(), maxDenyBytes)
	}
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("deny list: %w", err)
	}
	if lines, err = deny.Parse(string(data), DenyCodes); err != nil {
		return nil, nil, fmt.Errorf("deny list: %s: %s", path, strings.ReplaceAll(err.Error(), "\n", "\ndeny list: "+path+": "))
	}
	return lines, data, nil
}
