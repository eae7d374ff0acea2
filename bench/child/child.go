package child

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/process"
)

// Process is a program that runs until it is killed, at the latest until this process
// ends.
type Process struct{ process.Process }

// Start runs a program. It returns, once the program has printed a text, the word that
// follows on that line, or "".
func Start(text, name string, args ...string) (p *Process, word string, err error) {
	said := &output{text: []byte(text), word: make(chan string, 1)}
	p = &Process{process.Process{Program: name, Args: args, Log: said}}
	if err := p.Start(); err != nil {
		return nil, "", err
	}
	select {
	case word := <-said.word:
		return p, word, nil
	case <-p.Done():
		return nil, "", fmt.Errorf("%s ended early:\n%s", name, said.line)
	}
}

// output looks for a text in what a program prints, and then holds nothing more.
type output struct {
	text  []byte
	word  chan string
	found bool
	line  []byte // the last ones
}

// Write takes what was printed next; calls must not overlap.
func (o *output) Write(printed []byte) (int, error) {
	if o.found {
		return len(printed), nil
	}
	o.line = append(o.line, printed...)
	if at := bytes.Index(o.line, o.text); at >= 0 {
		if rest, _, whole := bytes.Cut(o.line[at+len(o.text):], []byte("\n")); whole {
			o.found = true
			word, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
			o.word <- string(word)
			return len(printed), nil
		}
	}
	o.line = o.line[max(0, len(o.line)-4096):]
	return len(printed), nil
}

// CPU is what the program has used so far, the kernel's work for it included, in steps
// of 10 ms.
func (p *Process) CPU() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0
	}
	ticks := 0
	for _, field := range bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])[11:13] {
		used, _ := strconv.Atoi(string(field))
		ticks += used
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// ServeRelay runs the embedded relay, as relaymesh up has it, until the context ends, and
// prints its URL.
func ServeRelay(ctx context.Context, path string, log *slog.Logger) error {
	run.BoundGarbage(run.AmpleForAll)
	r, err := homerelay.Start(ctx, homerelay.Config{Path: path, Log: log})
	if err != nil {
		return err
	}
	defer r.Close()
	fmt.Println(r.URL())
	<-ctx.Done()
	return nil
}
