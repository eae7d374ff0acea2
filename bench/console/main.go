//go:build linux

package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/console:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		return serve(os.Args[2])
	}
	b := bench{}
	flag.IntVar(&b.users, "users", 100_000, "users, each with a record")
	flag.IntVar(&b.relays, "relays", 10_000, "relays, each with a sync")
	flag.IntVar(&b.links, "links", 1_000_000, "links between them")
	flag.DurationVar(&b.window, "window", 30*time.Second, "how long CPU is counted, each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "relaymesh-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is of no more use
	server, url, err := child(ctx, dir)
	if err != nil {
		return err
	}
	defer server.Wait() //nolint:errcheck // it is killed
	defer stop()
	b.pid = server.Process.Pid
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	if b.js, err = jetstream.New(nc); err != nil {
		return err
	}
	return b.measure(ctx)
}

// child starts the NATS server as a process of its own.
func child(ctx context.Context, dir string) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, self, "serve", dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, "", err
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	return cmd, strings.TrimSpace(url), err
}

// serve is the child: a NATS server with all that relaymesh needs in it.
func serve(dir string) error {
	server, err := natsd.Start(natsd.Config{Dir: dir, Listen: "127.0.0.1:0", MaxStore: 1 << 40, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	nc, err := server.Connect("provision")
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := bus.Provision(context.Background(), js, bus.ProvisionOptions{}); err != nil {
		return err
	}
	fmt.Println(server.URL())
	select {}
}
