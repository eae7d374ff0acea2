package schnorr

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/secp256k1"
	"github.com/consensys/gnark-crypto/ecc/secp256k1/fr"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// vectors are those of BIP-340's test-vectors.csv whose message is 32 bytes
// long, as every id is: a claim of each and its verdict.
func vectors(t *testing.T) (all []nostr.Event, valid []bool) {
	t.Helper()
	f, err := os.Open("testdata/bip340.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 16 {
		t.Fatalf("%d rows, want a heading and 15 vectors", len(rows))
	}
	for _, row := range rows[1:] {
		all = append(all, nostr.Event{PubKey: strings.ToLower(row[1]), ID: strings.ToLower(row[2]), Sig: strings.ToLower(row[3])})
		valid = append(valid, row[4] == "TRUE")
	}
	return all, valid
}

func TestBIP340Vectors(t *testing.T) {
	all, valid := vectors(t)
	for i, err := range verdicts(all) { // in one batch, the good with the bad
		if (err == nil) != valid[i] {
			t.Errorf("vector %d in a batch of all: %v, want valid %v", i, err, valid[i])
		}
	}
	for i := range all {
		if err := VerifySignature(&all[i]); (err == nil) != valid[i] {
			t.Errorf("vector %d alone: %v, want valid %v", i, err, valid[i])
		}
		if byEquation(&all[i]) != valid[i] {
			t.Errorf("vector %d by the equation: want valid %v", i, valid[i])
		}
		among := []nostr.Event{all[0], all[1], all[i], all[2]}
		if err := verdicts(among)[2]; (err == nil) != valid[i] {
			t.Errorf("vector %d among valid ones: %v, want valid %v", i, err, valid[i])
		}
	}
}

// The batch must say of every signature what btcec says of it alone. A
// sample is checked always, RELAYMESH_SIGNATURES of them by make
// test-signatures.
func TestBatchDiffersNeverFromOneByOne(t *testing.T) {
	total := 1500
	if s := os.Getenv("RELAYMESH_SIGNATURES"); s != "" {
		var err error
		if total, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	keys := secrets(t, 64)
	accepted, refused := 0, 0
	for done, round := 0, 0; done < total; round++ {
		size := 1 + random.IntN(min(256, total-done))
		authors := keys[:1+random.IntN(len(keys))]
		batch := make([]nostr.Event, size)
		for i := range batch {
			batch[i] = signed(t, authors[random.IntN(len(authors))], random.Int64())
		}
		switch round % 4 {
		case 0: // all valid
		case 1: // a single bad one
			damage(random, &batch[random.IntN(size)])
		case 2: // a pair that would cancel out if all coefficients were equal
			shiftS(&batch[random.IntN(size)], big.NewInt(5))
			shiftS(&batch[random.IntN(size)], big.NewInt(-5))
		case 3:
			for i := range batch {
				if random.IntN(3) == 0 {
					damage(random, &batch[i])
				}
			}
		}
		for i, err := range verdicts(batch) {
			want := VerifySignature(&batch[i])
			if (err == nil) != (want == nil) {
				t.Fatalf("batch of %d: %v, alone: %v\npubkey %s\nid %s\nsig %s", size, err, want, batch[i].PubKey, batch[i].ID, batch[i].Sig)
			}
			if i%8 == 0 && byEquation(&batch[i]) != (want == nil) {
				t.Fatalf("by the equation: alone: %v\npubkey %s\nid %s\nsig %s", want, batch[i].PubKey, batch[i].ID, batch[i].Sig)
			}
			if want == nil {
				accepted++
			} else {
				refused++
			}
		}
		done += size
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	if accepted < total/4 || refused < total/50 {
		t.Error("too few of one kind to mean anything")
	}
}

// damage changes a signature, its message or its key in one of the ways that
// could make two implementations differ. Some leave it valid.
func damage(random *rand.Rand, e *nostr.Event) {
	flipBit := func(text string) string {
		raw, _ := hex.DecodeString(text)
		raw[random.IntN(len(raw))] ^= 1 << random.IntN(8)
		return hex.EncodeToString(raw)
	}
	zero, ones := strings.Repeat("0", 64), strings.Repeat("f", 64)
	r, s := e.Sig[:64], e.Sig[64:]
	switch random.IntN(11) {
	case 0:
		e.Sig = flipBit(r) + s
	case 1:
		e.Sig = r + flipBit(s)
	case 2:
		e.ID = flipBit(e.ID)
	case 3:
		e.PubKey = flipBit(e.PubKey) // half of these are on no curve
	case 4:
		e.Sig = r + hexOf(new(big.Int).Sub(order, number(s))) // -s
	case 5:
		e.Sig = []string{zero, ones, hexOf(prime), hexOf(order)}[random.IntN(4)] + s
	case 6:
		e.Sig = r + []string{zero, ones, hexOf(prime), hexOf(order)}[random.IntN(4)]
	case 7:
		e.PubKey = []string{zero, ones, hexOf(prime), generatorX}[random.IntN(4)]
	case 8:
		e.Sig = s + r
	case 9:
		e.Sig = e.PubKey + s // a nonce on the curve, but another one
	case 10:
		e.Sig = zero + zero
	}
}

func shiftS(e *nostr.Event, by *big.Int) {
	s := number(e.Sig[64:])
	if s.Add(s, by); s.Sign() >= 0 && s.BitLen() <= 256 {
		e.Sig = e.Sig[:64] + hexOf(s)
	}
}

const generatorX = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"

var (
	prime = number("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")
	order = number("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
)

func number(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 16)
	if !ok {
		panic(text)
	}
	return n
}

func hexOf(n *big.Int) string { return fmt.Sprintf("%064x", n) }

// An even number of equal wrong signatures, and the generator as a key, are
// what a careless equation trips over.
func TestBatchOfTheSame(t *testing.T) {
	one, err := ParseSecret(strings.Repeat("0", 63) + "1")
	if err != nil {
		t.Fatal(err)
	}
	good := signed(t, one, 1)
	bad := good
	shiftS(&bad, big.NewInt(1))
	batch := []nostr.Event{good, bad, good, bad, bad, bad, good, good, good, bad}
	for i, err := range verdicts(batch) {
		if want := batch[i].Sig == good.Sig; (err == nil) != want {
			t.Errorf("%d: %v, want valid %v", i, err, want)
		}
	}
}

func TestVerifyAllNamesTheField(t *testing.T) {
	sk := secrets(t, 1)[0]
	all := make([]*nostr.Event, 0, 40)
	for i := range 40 {
		e := signed(t, sk, int64(i))
		all = append(all, &e)
	}
	all[3].Sig = flip(all[3].Sig)
	all[5].Sig = strings.Repeat("f", 128)
	all[7].PubKey = strings.Repeat("f", 64)
	all[9].Sig = all[9].Sig[:100] // what nobody has checked must not hurt
	all[11].PubKey = "npub"
	want := map[int]string{3: "sig", 5: "sig", 7: "pubkey", 9: "sig", 11: "sig, pubkey or id"}
	for i, err := range VerifyAll(all) {
		if err == nil && want[i] == "" {
			continue
		}
		if err == nil || want[i] == "" || !strings.HasPrefix(err.Error(), want[i]) {
			t.Errorf("event %d: %v, want one about %q", i, err, want[i])
		}
	}
	if len(VerifyAll(nil)) != 0 {
		t.Error("verdicts of no events")
	}
}

func TestKeyCacheStaysSmall(t *testing.T) {
	x := [32]byte(mustHex(t, generatorX))
	first := authors.lift(x)
	if again := authors.lift(x); first == nil || again != first {
		t.Errorf("two points for the same key: %p, %p", first, again)
	}
	for i := range 2 * authors.points.Size {
		// Most of these are cached under any x: only their number counts.
		authors.points.Put([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, first)
	}
	if again := authors.lift(x); again == first || *again != *first {
		t.Errorf("a key that was not used for long has the point %p, at first %p", again, first)
	}
}

// A scalar in two halves is the scalar, and both are short.
func TestTermsOfAScalarAreShort(t *testing.T) {
	lambda, _ := new(big.Int).SetString("5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72", 16)
	n := fr.Modulus()
	list := []*big.Int{new(big.Int), big.NewInt(1), lambda, new(big.Int).Rsh(n, 1)}
	list = append(list, new(big.Int).Sub(n, list[1]), new(big.Int).Sub(n, lambda))
	for i := range 100 {
		h := sha256.Sum256([]byte{byte(i)})
		list = append(list, new(big.Int).SetBytes(h[:]))
	}
	for _, number := range list {
		var scalar fr.Element
		var sum terms
		var is secp256k1.G1Jac
		sum.add(&generator, scalar.SetBigInt(number))
		for _, half := range sum.scalars {
			if half.BigInt(new(big.Int)).BitLen() > 129 {
				t.Errorf("%x has a half of %x", number, half)
			}
		}
		if _, err := is.MultiExp(sum.points, sum.scalars, ecc.MultiExpConfig{NbTasks: 1}); err != nil {
			t.Fatal(err)
		}
		var want secp256k1.G1Jac
		if want.FromAffine(&generator).ScalarMultiplication(&want, number); !is.Equal(&want) {
			t.Errorf("%x: the sum of its terms is another", number)
		}
	}
}

func BenchmarkVerifyAll(b *testing.B) {
	for _, authors := range []int{1, 16, 1024} {
		keys := secrets(b, authors)
		all := make([]*nostr.Event, 1024)
		for i := range all {
			e := signed(b, keys[i%authors], int64(i))
			all[i] = &e
		}
		for _, n := range []int{1, 2, 4, 8, 16, 64, 256, 1024} {
			b.Run(fmt.Sprintf("authors=%d/n=%d", authors, n), func(b *testing.B) {
				for i := 0; i < b.N; i += n {
					for _, err := range VerifyAll(all[:n]) {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

func verdicts(all []nostr.Event) []error {
	pointers := make([]*nostr.Event, len(all))
	for i := range all {
		pointers[i] = &all[i]
	}
	return VerifyAll(pointers)
}

// byEquation verifies one event with the equation of the batches, which does
// not fall back on btcec.
func byEquation(e *nostr.Event) bool {
	c := claim{event: e}
	return c.parse() == nil && hold([]*claim{&c})
}

func secrets(t testing.TB, n int) []*SecretKey {
	t.Helper()
	all := make([]*SecretKey, n)
	for i := range all {
		var err error
		if all[i], err = NewSecret(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func signed(t testing.TB, sk *SecretKey, number int64) nostr.Event {
	t.Helper()
	e := nostr.Event{Kind: 1, CreatedAt: max(number, -number), Content: "a note"}
	if err := Sign(&e, sk); err != nil {
		t.Fatal(err)
	}
	return e
}
