package ownfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Write makes text the content of the file at path, with that mode, and its
// folder if there is none (mode 0700). Whoever reads the file, also after a loss
// of power, finds all of the old text or all of the new one. Where path is a
// symbolic link, the link stays. After an error the old text stands.
func Write(path string, text []byte, mode fs.FileMode) error {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		path = at
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	// Synced before it gets its name: else the name may reach the disk first.
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(folder)
}

// syncFolder makes what was renamed in a folder outlast a loss of power.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// SetAside renames a damaged file, so that it can be looked at, and returns its
// new name: path with ".damaged" at the end, whose former file is lost.
func SetAside(path string) (aside string, err error) {
	aside = path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set aside a damaged file: %w", err)
	}
	return aside, syncFolder(filepath.Dir(path))
}

// OthersCanRead reports whether a file exists that every user of the machine can
// read, as far as its own mode says.
func OthersCanRead(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}
