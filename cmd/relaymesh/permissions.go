package main

import (
	"fmt"
	"io"

	"github.com/relaymesh/relaymesh/internal/contract"
)

type permissionsCmd struct {
	Name string `arg:"" enum:"ingest,dhtworker,syncworker,fetcher,console,relay" help:"A stage (ingest, dhtworker, syncworker or fetcher), console, or relay for relays and other programs that feed the pipeline."`
	JSON bool   `help:"Print one JSON object."`
}

// Help is the long help text.
func (*permissionsCmd) Help() string {
	return "The output is for a file of its own that the configuration of nats-server includes:\n\n" +
		"  users: [ { nkey: U…, permissions { include ingest.conf } }, … ]"
}

// Run prints them as a part of a nats-server configuration.
func (c *permissionsCmd) Run(o *output) error {
	p, _ := contract.PermissionsOf(c.Name) // kong has checked the name
	if c.JSON {
		return o.json(p)
	}
	fmt.Fprintf(o.out, "# All that %s needs, by relaymesh nats-permissions %s\n", c.Name, c.Name)
	allow(o.out, "publish", p.Publish)
	allow(o.out, "subscribe", p.Subscribe)
	if p.Responses {
		fmt.Fprintln(o.out, "allow_responses: true")
	}
	return nil
}

func allow(w io.Writer, verb string, subjects []string) {
	fmt.Fprintf(w, "%s {\n  allow: [\n", verb)
	for _, s := range subjects {
		fmt.Fprintf(w, "    %q\n", s)
	}
	fmt.Fprintln(w, "  ]\n}")
}
