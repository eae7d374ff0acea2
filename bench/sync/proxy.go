package main

import (
	"io"
	"net"
	"sync/atomic"
)

// proxy passes connections on to a relay and counts the bytes, both ways.
type proxy struct {
	addr  string
	bytes atomic.Int64
}

func startProxy(to string) (*proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: ln.Addr().String()}
	go func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			go p.copy(out, from)
			go p.copy(from, out)
		}
	}()
	return p, nil
}

func (p *proxy) copy(dst, src net.Conn) {
	defer dst.Close()
	_, _ = io.Copy(dst, io.TeeReader(src, counter{&p.bytes}))
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}
