package run

import (
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/config"
)

func TestWebOfTrustOfEveryoneOrNobody(t *testing.T) {
	t.Parallel()
	if c, err := newWebOfTrust(config.Policy{}); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	for _, flag := range []string{"--authors", "--follows"} {
		p := config.Policy{Authors: []string{"npub1"}}
		if flag == "--follows" {
			p = config.Policy{Follows: []string{"npub1"}}
		}
		if _, err := newWebOfTrust(p); err == nil || !slices.Contains(strings.Split(err.Error(), ":"), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
