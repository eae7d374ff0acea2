package schnorr

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/secp256k1"
	"github.com/consensys/gnark-crypto/ecc/secp256k1/fp"
	"github.com/consensys/gnark-crypto/ecc/secp256k1/fr"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var (
	errSignature = errors.New("sig: is not the author's signature of the id")
	errRange     = errors.New("sig: is no signature: one of its halves is out of range")
	errShape     = errors.New("sig, pubkey or id: is not hex of the right length")
	errPubKey    = errors.New("pubkey: is not the x of a point of the curve")
)

// VerifyAll checks the signatures of many events in a fraction of the time
// that [Verify] takes: by one equation for all of them, and for halves of them
// again where it does not hold. Shape and id must have been checked, as
// [nostr.ParseEvent] does. errs[i] is what is wrong with all[i]; it accepts
// exactly what BIP-340 accepts, but for a probability of 2^-128. What is good is
// [Verified] from then on.
//
// Many events of few authors are the fastest. One bad event among hundreds
// makes the batch cost about three times as much, so a sender of them should
// be verified in batches of its own.
func VerifyAll(all []*nostr.Event) (errs []error) {
	errs = make([]error, len(all))
	claims := make([]claim, len(all))
	for i, e := range all {
		claims[i] = claim{event: e, err: &errs[i]}
	}
	verifyClaims(claims)
	return errs
}

// claim is an event whose signature is in question.
type claim struct {
	event *nostr.Event
	err   *error // the verdict

	nonce secp256k1.G1Affine  // R of BIP-340
	key   *secp256k1.G1Affine // P, the same pointer for the same author
	s, e  fr.Element
}

// alone is how many signatures are verified faster one by one.
const alone = 2

// verifyClaims sets the verdicts.
func verifyClaims(claims []claim) {
	open := make([]*claim, 0, len(claims))
	for i := range claims {
		c := &claims[i]
		if len(claims) <= alone {
			*c.err = VerifySignature(c.event)
		} else if *c.err = c.parse(); *c.err == nil {
			open = append(open, c)
		}
	}
	if len(open) > 0 && !hold(open) {
		bisect(open)
	}
	for _, c := range open {
		if *c.err == nil {
			remember(c.event)
		}
	}
}

// parse reads what the equation needs by BIP-340's rules: r < p and the x of a
// point, s < n. Of the two points with that x, R must be the one of even y.
func (c *claim) parse() error {
	var sig [64]byte
	var key, id [32]byte
	if !decode(sig[:], c.event.Sig) || !decode(key[:], c.event.PubKey) || !decode(id[:], c.event.ID) {
		return errShape
	}
	r, s := [32]byte(sig[:32]), sig[32:]
	if c.nonce.X.SetBytesCanonical(r[:]) != nil || c.s.SetBytesCanonical(s) != nil {
		return errRange
	}
	if c.key = authors.lift(key); c.key == nil {
		return errPubKey
	}
	if !liftX(&c.nonce, r) {
		return errSignature // no point can be equal to it
	}
	h := sha256.New()
	h.Write(challengeTag)
	h.Write(r[:])
	h.Write(key[:])
	h.Write(id[:])
	c.e.SetBytes(h.Sum(nil)) // modulo n
	return nil
}

func decode(into []byte, text string) bool {
	if len(text) != 2*len(into) {
		return false
	}
	_, err := hex.Decode(into, []byte(text))
	return err == nil
}

// challengeTag is the prefix of BIP-340's tagged hash for e.
var challengeTag = func() []byte {
	tag := sha256.Sum256([]byte("BIP0340/challenge"))
	return append(tag[:], tag[:]...)
}()

// bisect finds the bad ones among claims that do not hold together.
func bisect(claims []*claim) {
	if len(claims) <= leaf {
		for _, c := range claims {
			*c.err = VerifySignature(c.event)
		}
		return
	}
	left, right := claims[:len(claims)/2], claims[len(claims)/2:]
	if hold(left) {
		bisect(right) // it must be there
		return
	}
	bisect(left)
	if !hold(right) {
		bisect(right)
	}
}

// leaf is how many claims, of which one is bad, are verified one by one: two
// halves of them and then the halves of one cost as much.
const leaf = 8

// hold reports whether all claims are true: whether, for random a of 128 bits,
//
//	0 = sum a R + sum over the keys P of (sum a e) P - (sum a s) G
//
// which is BIP-340's R = s G - e P of all of them at once. The a keep a sender
// from making two wrong signatures cancel each other out.
func hold(claims []*claim) bool {
	sum := terms{make([]secp256k1.G1Affine, 0, 2+2*len(claims)), make([]fr.Element, 0, 2+2*len(claims))}
	keys, scalars := []*secp256k1.G1Affine{&generator}, make([]fr.Element, 1, 1+len(claims))
	ofKey := make(map[*secp256k1.G1Affine]int, len(claims))
	random := make([]byte, 16*len(claims))
	_, _ = rand.Read(random) // never fails
	for i, c := range claims {
		var wide [fr.Bytes]byte
		copy(wide[16:], random[16*i:])
		var a, term fr.Element
		a.SetBytes(wide[:])
		term.Mul(&a, &c.s)
		scalars[0].Sub(&scalars[0], &term)
		sum.points, sum.scalars = append(sum.points, c.nonce), append(sum.scalars, a)

		term.Mul(&a, &c.e)
		at, known := ofKey[c.key]
		if !known {
			at = len(keys)
			ofKey[c.key] = at
			keys, scalars = append(keys, c.key), append(scalars, fr.Element{})
		}
		scalars[at].Add(&scalars[at], &term)
	}
	for i, key := range keys {
		sum.add(key, &scalars[i])
	}
	var is secp256k1.G1Jac
	// One task: the caller runs as many batches as there are cores to use.
	if _, err := is.MultiExp(sum.points, sum.scalars, ecc.MultiExpConfig{NbTasks: 1}); err != nil {
		panic(err) // the two slices are equally long
	}
	return is.Z.IsZero()
}

// terms are points times scalars of some 128 bits: a sum takes as many steps as its longest scalar is long.
type terms struct {
	points  []secp256k1.G1Affine
	scalars []fr.Element
}

// add adds a point times a scalar of any length, as k P + l phi(P), where phi multiplies a point of this curve by lambda
// at the price of one multiplication of its x (Gallant, Lambert and Vanstone, CRYPTO 2001).
func (t *terms) add(p *secp256k1.G1Affine, scalar *fr.Element) {
	var long big.Int
	parts := ecc.SplitScalar(scalar.BigInt(&long), &lattice)
	point := *p
	for i := range parts {
		term, of := point, fr.Element{}
		if parts[i].Sign() < 0 {
			term.Neg(&term)
		}
		of.SetBigInt(parts[i].Abs(&parts[i]))
		t.points, t.scalars = append(t.points, term), append(t.scalars, of)
		point.X.Mul(&point.X, &beta)
	}
}

// lattice holds the pairs of numbers k and l of which k + l lambda is 0 modulo n, and beta is the cube root of 1 modulo p
// that goes with lambda, one modulo n.
var lattice, beta = func() (l ecc.Lattice, beta fp.Element) {
	lambda, _ := new(big.Int).SetString("5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72", 16)
	ecc.PrecomputeLattice(fr.Modulus(), lambda, &l)
	_, err := beta.SetString("0x7ae96a2b657c07106e64479eac3434e99cf0497512f58995c1396c28719501ee")
	if err != nil {
		panic(err)
	}
	return l, beta
}()

var generator = func() secp256k1.G1Affine { _, g := secp256k1.Generators(); return g }()

// liftX sets p to the point with that x and an even y, and reports whether
// there is one (lift_x of BIP-340).
func liftX(p *secp256k1.G1Affine, x [32]byte) bool {
	if p.X.SetBytesCanonical(x[:]) != nil {
		return false
	}
	var square fp.Element
	square.Square(&p.X).Mul(&square, &p.X).Add(&square, &seven)
	if p.Y.Sqrt(&square) == nil {
		return false
	}
	if p.Y.Bits()[0]&1 == 1 {
		p.Y.Neg(&p.Y)
	}
	return true
}

var seven = fp.NewElement(7)
