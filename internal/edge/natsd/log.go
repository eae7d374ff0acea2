package natsd

import (
	"fmt"
	"log/slog"
	"os"
)

// logger passes the NATS server's warnings and errors on; its notices tell
// nothing that an operator of relaymesh needs.
type logger struct{ log *slog.Logger }

func (logger) Noticef(string, ...any) {}
func (logger) Debugf(string, ...any)  {}
func (logger) Tracef(string, ...any)  {}

func (l logger) Warnf(format string, v ...any) {
	l.log.Warn("the NATS server speaks", "notice", fmt.Sprintf(format, v...))
}

func (l logger) Errorf(format string, v ...any) {
	l.log.Error("the NATS server speaks", "notice", fmt.Sprintf(format, v...))
}

// Fatalf is called where a stand-alone server would give up.
func (l logger) Fatalf(format string, v ...any) {
	l.log.Error("the NATS server speaks", "notice", fmt.Sprintf(format, v...))
	os.Exit(1)
}
