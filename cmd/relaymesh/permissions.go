package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type permissionsCmd struct {
	Name    string          `arg:"" enum:"ingest,dhtworker,syncworker,fetcher,console,relay,gateway,pipeline,feeders" help:"A user: a stage (ingest, dhtworker, syncworker or fetcher), console, gateway, or relay for relays and other programs that feed the pipeline. Or an account: pipeline of the former, feeders of the latter."`
	Account string          `default:"RELAYMESH" placeholder:"NAME" help:"The name of the pipeline's account, for feeders (${default})."`
	Domain  string          `name:"nats-domain" placeholder:"NAME" help:"For a user of a leaf node: the JetStream domain that the pipeline is in, see --nats-domain of the workers."`
	Prefix  contract.Prefix `name:"nats-prefix" env:"RELAYMESH_NATS_PREFIX" placeholder:"NAME" help:"The prefix of the pipeline, see --nats-prefix of the workers."`
	JSON    bool            `help:"Print one JSON object."`
}

// Help is the long help text.
func (*permissionsCmd) Help() string {
	return "The output is for a file of its own that the configuration of nats-server includes. Feeders have an account of their own: " +
		"JetStream sends its answers wherever a user of the pipeline's account wants them, even to what deletes a stream.\n\n" +
		"  accounts {\n" +
		"    RELAYMESH { jetstream: enabled\n" +
		"      include pipeline.conf\n" +
		"      users: [ { nkey: U…, permissions { include ingest.conf } }, … ] }\n" +
		"    " + contract.AccountFeeders + " {\n" +
		"      include feeders.conf\n" +
		"      users: [ { nkey: U…, permissions { include relay.conf } }, … ] }\n" +
		"  }"
}

// Run prints them as a part of a nats-server configuration.
func (c *permissionsCmd) Run(o *output) error {
	if err := config.CheckPrefix(c.Prefix); err != nil {
		return usage("%v", err)
	}
	switch c.Name {
	case "pipeline":
		return c.printShared(o.out, "exports", c.exported())
	case "feeders":
		return c.printShared(o.out, "imports", c.imported())
	}
	p, _ := c.Prefix.PermissionsOf(c.Name) // kong has checked the name
	feeder := c.Name == contract.RoleRelay || c.Name == contract.RoleGateway
	if c.Domain != "" && !feeder { // whose account reaches a bucket by what the pipeline's exports
		for i, subject := range p.Publish {
			p.Publish[i] = inDomain(subject, c.Domain)
		}
	}
	if c.JSON {
		return o.json(p)
	}
	fmt.Fprintf(o.out, "# All that %s needs, by relaymesh nats-permissions %s\n", c.Name, c.Name)
	if feeder {
		fmt.Fprintf(o.out, "# For users of account %s, see relaymesh nats-permissions pipeline and feeders: not of the pipeline's account\n",
			contract.AccountFeeders)
	}
	allow(o.out, "publish", p.Publish)
	allow(o.out, "subscribe", p.Subscribe)
	if p.Responses {
		fmt.Fprintln(o.out, "allow_responses: true")
	}
	return nil
}

// inDomain is a subject of the JetStream API, or the key of a bucket, as it is asked for in
// a domain.
func inDomain(subject, domain string) string {
	prefix := "$JS." + domain + ".API."
	if strings.HasPrefix(subject, "$KV.") {
		return prefix + subject
	}
	if rest, is := strings.CutPrefix(subject, "$JS.API."); is {
		return prefix + rest
	}
	return subject
}

func allow(w io.Writer, verb string, subjects []string) {
	fmt.Fprintf(w, "%s {\n  allow: [\n", verb)
	for _, s := range subjects {
		fmt.Fprintf(w, "    %q\n", s)
	}
	fmt.Fprintln(w, "  ]\n}")
}

// shared is an export or an import, as a server's configuration has it: of a
// service or of a stream.
type shared struct {
	Service  any      `json:"service,omitempty"`
	Stream   any      `json:"stream,omitempty"`
	Accounts []string `json:"accounts,omitempty"` // which may import it
}

func (c *permissionsCmd) exported() (list []shared) {
	services, streams := c.Prefix.Exported()
	for _, subject := range services {
		list = append(list, shared{Service: subject, Accounts: []string{contract.AccountFeeders}})
	}
	for _, subject := range streams {
		list = append(list, shared{Stream: subject, Accounts: []string{contract.AccountFeeders}})
	}
	return list
}

func (c *permissionsCmd) imported() (list []shared) {
	type source struct {
		Account string `json:"account"`
		Subject string `json:"subject"`
	}
	services, streams := c.Prefix.Exported()
	for _, subject := range services {
		list = append(list, shared{Service: source{c.Account, subject}})
	}
	for _, subject := range streams {
		list = append(list, shared{Stream: source{c.Account, subject}})
	}
	return list
}

// printShared prints a list that is JSON in a server's configuration, too.
func (c *permissionsCmd) printShared(w io.Writer, verb string, list []shared) error {
	if c.JSON {
		_, err := fmt.Fprintf(w, "%s\n", nostr.Encode(map[string][]shared{verb: list}))
		return err
	}
	fmt.Fprintf(w, "# What the account of the %s %s, by relaymesh nats-permissions %s\n%s: [\n", c.Name, verb, c.Name, verb)
	for _, s := range list {
		fmt.Fprintf(w, "  %s\n", nostr.Encode(s))
	}
	fmt.Fprintln(w, "]")
	return nil
}
