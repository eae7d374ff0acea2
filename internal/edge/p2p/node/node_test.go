package node

import (
	"crypto/rand"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"
)

// worn is a key that can be used a few times.
type worn struct {
	crypto.PrivKey
	left *int
}

var errWorn = errors.New("worn out")

func (k worn) GetPublic() crypto.PubKey {
	if *k.left--; *k.left < 0 {
		return wornPublic{k.PrivKey.GetPublic()}
	}
	return k.PrivKey.GetPublic()
}

type wornPublic struct{ crypto.PubKey }

func (wornPublic) Raw() ([]byte, error) { return nil, errWorn }

// What fails on the way is told, and what was made until then is freed.
func TestNewThatFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	key, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	failures := 0
	for uses := range 100 {
		n, err := New(worn{key, &uses}, nil)
		if err == nil {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			break
		}
		failures++
	}
	if failures < 2 {
		t.Errorf("New failed %d times, want an early failure and a late one", failures)
	}
}
