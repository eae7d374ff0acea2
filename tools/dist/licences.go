package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

var (
	// licenceFile is a name under which modules keep what has to go with them.
	licenceFile = regexp.MustCompile(`(?i)^(un)?licen[cs]e|^copying|^notice|^patents`)
	mozilla     = regexp.MustCompile(`(?i)mozilla\s+public\s+license,?\s+version\s+2\.0`)
)

const mplHead = `Source code under the Mozilla Public License 2.0, unchanged, is in these modules.
go mod download MODULE@VERSION gets it, and so does the page of its name:

`

// licences writes the licence texts of all modules that are linked into the
// binaries, and of Go itself. A module without a licence is an error: nobody may
// pass it on.
func licences(w io.Writer, binaries []string) error {
	modules := map[string]bool{}
	for _, path := range binaries {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				return fmt.Errorf("%s is replaced, which go install of a version does not allow", m.Path)
			}
			modules[m.Path+"@"+m.Version] = true
		}
	}
	var texts bytes.Buffer
	var mpl, errs []string
	goText := filepath.Join(runtime.GOROOT(), "LICENSE")
	if err := section(&texts, "Go, its standard library", []string{goText}); err != nil {
		return err
	}
	for _, module := range slices.Sorted(maps.Keys(modules)) {
		files, err := licenceFiles(module)
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		before := texts.Len()
		if err := section(&texts, module, files); err != nil {
			return err
		}
		if mozilla.Match(texts.Bytes()[before:]) {
			mpl = append(mpl, "  "+module)
		}
	}
	if errs != nil {
		return errors.New(strings.Join(errs, "\n"))
	}
	_, err := fmt.Fprintf(w, "Other people's work in the binaries of relaymesh.\n\n%s%s\n%s", mplHead, strings.Join(mpl, "\n"), &texts)
	return err
}

// licenceFiles finds the files of a module, PATH@VERSION, that have to go with it.
func licenceFiles(module string) (files []string, err error) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download %s: %w", module, err)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, err
	}
	licensed := false
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenceFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		files = append(files, filepath.Join(m.Dir, e.Name()))
		lower := strings.ToLower(e.Name())
		licensed = licensed || !strings.HasPrefix(lower, "notice") && !strings.HasPrefix(lower, "patents")
	}
	if !licensed {
		return nil, fmt.Errorf("%s has no licence file: take a version that has one, or another module", module)
	}
	return files, nil
}

func section(w io.Writer, title string, files []string) error {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "\n%s\n%s, %s\n\n%s\n", strings.Repeat("=", 80), title, filepath.Base(file), bytes.TrimSpace(text)); err != nil {
			return err
		}
	}
	return nil
}
