package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Gateway is what a gateway needs.
type Gateway struct {
	Relay  string `env:"RELAYMESH_RELAY" required:"" placeholder:"URL" help:"The relay to stand before (ws:// or wss://)."`
	Listen string `env:"RELAYMESH_GATEWAY_LISTEN" default:":8080" placeholder:"HOST:PORT" help:"Where clients reach the gateway."`
	NATS   string `name:"nats" env:"RELAYMESH_NATS" placeholder:"URL" help:"NATS server of a running pipeline, which is asked for what the relay lacks and takes in what it accepts. Without one, and while it is away, the gateway is a proxy and no more."`
	NATSAuth

	GatewayOptions

	Deny []string `env:"RELAYMESH_DENY" placeholder:"FILE" help:"Files of what is denied: it is sent to nobody whom the relay itself does not send it. See relaymesh deny."`

	Admin      string   `env:"RELAYMESH_ADMIN" placeholder:"HOST:PORT" group:"Operation" help:"Serve /metrics, /livez and /readyz there."`
	AdminHosts []string `env:"RELAYMESH_ADMIN_HOSTS" placeholder:"NAME" group:"Operation" help:"Names by which --admin may be asked, for instance by Prometheus; localhost and IP addresses always may."`
	LogLevel   string   `env:"RELAYMESH_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" group:"Operation" help:"Least level that is logged: debug, info, warn or error."`
}

// GatewayOptions are those of a gateway wherever it runs.
type GatewayOptions struct {
	Wait time.Duration `name:"gateway-wait" env:"RELAYMESH_GATEWAY_WAIT" default:"1500ms" group:"Gateway" help:"How long the end of a client's REQ may wait for what it names and the relay lacks; at most 10s."`

	TLSCert string `name:"tls-cert" env:"RELAYMESH_TLS_CERT" placeholder:"FILE" group:"Gateway" help:"File with the certificate (PEM) that is shown to clients, read again when it changes. Without one they reach the gateway by ws:// or through a proxy that speaks TLS."`
	TLSKey  string `name:"tls-key" env:"RELAYMESH_TLS_KEY" placeholder:"FILE" group:"Gateway" help:"File with the key (PEM) of --tls-cert."`
}

// maxGatewayWait is far longer than a client waits.
const maxGatewayWait = 10 * time.Second

// Check says what is wrong. It is not named as kong would call it, since whoever
// embeds the options embeds others, too.
func (g GatewayOptions) Check() error {
	var errs []error
	if g.Wait <= 0 || g.Wait > maxGatewayWait {
		errs = append(errs, fmt.Errorf("--gateway-wait: must be longer than 0s and at most %s", maxGatewayWait))
	}
	if (g.TLSCert == "") != (g.TLSKey == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key belong together"))
	}
	return errors.Join(errs...)
}

// Validate normalises the URL and says which field is wrong. kong calls it after
// parsing.
func (g *Gateway) Validate() error {
	url, err := nostr.NormalizeRelayURL(g.Relay, true)
	if err != nil {
		return fmt.Errorf("--relay: %w", err)
	}
	g.Relay = url
	return errors.Join(g.Check(), g.NATSAuth.Validate())
}
