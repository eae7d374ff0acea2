package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/ownfile"
)

type denyCmd struct {
	Add denyAddCmd `cmd:"" help:"Deny something."`
	Rm  denyRmCmd  `cmd:"" help:"Deny something no more."`
	Ls  denyLsCmd  `cmd:"" help:"List what is denied."`
}

// denyFlags are the files of the deny lists.
type denyFlags struct {
	Deny []string `env:"RELAYMESH_DENY" required:"" placeholder:"FILE" help:"The deny lists, as given to up or the workers, which read them again within seconds."`
}

// Help is the long help text of all three.
func (denyFlags) Help() string {
	return "What is denied is not fetched, not stored, not sent and not announced, and is deleted where relaymesh keeps it. A file " +
		"has one entry a line: key NPUB, id NOTE, kind NUMBER, host NAME (with all names below it) or word WORDS (whole ones, in " +
		"any case). Keys and ids may be hex or a NIP-19 code, which needs no word in front. Lines that begin with # are comments."
}

// denyEntry is the entry that add and rm are about.
type denyEntry struct {
	denyFlags
	Entry []string `arg:"" help:"What, and a value: key npub1…, id note1…, kind 1984, host spam.example.com, word buy followers."`
}

func (c *denyEntry) parse() (deny.Entry, error) {
	text := strings.Join(c.Entry, " ")
	if strings.ContainsAny(text, "\r\n") {
		return deny.Entry{}, usage("an entry is one line")
	}
	e, err := deny.ParseEntry(text, config.DenyCodes)
	if err != nil {
		return e, usage("%v", err)
	}
	return e, nil
}

// denyFile is a deny list as it is on the disk.
type denyFile struct {
	path  string
	text  string
	lines []deny.Line
}

// find returns the number of the line with an entry, 0 if there is none.
func (f *denyFile) find(entry deny.Entry) int {
	for _, l := range f.lines {
		if l.Entry == entry {
			return l.Number
		}
	}
	return 0
}

// read reads the files; the first may be missing if it is to be made.
func (c *denyFlags) read(makes bool) (files []*denyFile, err error) {
	for i, path := range c.Deny {
		lines, data, err := config.ReadDenyFile(path)
		if err != nil && (!makes || i > 0 || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		files = append(files, &denyFile{path, string(data), lines})
	}
	return files, nil
}

type denyAddCmd struct{ denyEntry }

// Run adds the entry to the first file, which it makes if need be, unless one of
// them has it.
func (c *denyAddCmd) Run(o *output) error {
	entry, err := c.parse()
	if err != nil {
		return err
	}
	files, err := c.read(true)
	if err != nil {
		return err
	}
	for _, f := range files {
		if line := f.find(entry); line > 0 {
			_, err := fmt.Fprintf(o.out, "%s:%d: %s, already\n", f.path, line, entry)
			return err
		}
	}
	first := files[0]
	if first.text != "" && !strings.HasSuffix(first.text, "\n") {
		first.text += "\n"
	}
	first.text += entry.String() + "\n"
	if err := replaceFile(first.path, first.text); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.out, "%s:%d: %s\n", first.path, strings.Count(first.text, "\n"), entry)
	return err
}

type denyRmCmd struct{ denyEntry }

// Run removes the lines of the entry from all files.
func (c *denyRmCmd) Run(o *output) error {
	entry, err := c.parse()
	if err != nil {
		return err
	}
	files, err := c.read(false)
	if err != nil {
		return err
	}
	removed := false
	for _, f := range files {
		if f.find(entry) == 0 {
			continue
		}
		removed = true
		if err := replaceFile(f.path, f.without(entry)); err != nil {
			return err
		}
		fmt.Fprintf(o.out, "%s: removed %s\n", f.path, entry)
	}
	if !removed {
		return fmt.Errorf("no deny list has %s", entry)
	}
	return nil
}

// without is the text of the file without the lines of an entry.
func (f *denyFile) without(entry deny.Entry) string {
	gone := map[int]bool{}
	for _, l := range f.lines {
		gone[l.Number] = l.Entry == entry
	}
	var left strings.Builder
	number := 0
	for row := range strings.Lines(f.text) {
		if number++; !gone[number] {
			left.WriteString(row)
		}
	}
	return left.String()
}

type denyLsCmd struct {
	denyFlags
	JSON bool `help:"Print one JSON object for each entry."`
}

// denied is what ls prints; its fields are stable.
type denied struct {
	deny.Entry

	File string `json:"file"`
	Line int    `json:"line"`
}

// Run prints one line per entry, in the order of the files.
func (c *denyLsCmd) Run(o *output) error {
	files, err := c.read(false)
	if err != nil {
		return err
	}
	for _, f := range files {
		for _, l := range f.lines {
			if c.JSON {
				err = o.json(denied{l.Entry, f.path, l.Number})
			} else {
				_, err = fmt.Fprintf(o.out, "%s:%d: %s\n", f.path, l.Number, l.Entry)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// replaceFile writes a file at once, so that whoever reads it has all of the one
// text or of the other. Its mode and, where it is a link, the link stay.
func replaceFile(path, text string) error {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := ownfile.Write(path, []byte(text), mode); err != nil {
		return fmt.Errorf("couldn't write the deny list: %w", err)
	}
	return nil
}
