package identity

import (
	"crypto/ed25519"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPoint holds isPoint against the curve's equation: where it says yes there is an x with
// -x² + y² = 1 + dx²y², found here by a root and not by a symbol; where it says no there is none.
func TestPoint(t *testing.T) {
	p, _ := new(big.Int).SetString("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed", 16)
	d, _ := new(big.Int).SetString("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3", 16)
	one := big.NewInt(1)
	rapid.Check(t, func(t *rapid.T) {
		encoded := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "encoded")
		le := slices.Clone(encoded)
		le[31] &= 0x7f
		slices.Reverse(le)
		y := new(big.Int).SetBytes(le)
		yy := new(big.Int).Exp(y, big.NewInt(2), p)
		v := new(big.Int).Mul(d, yy)
		v.ModInverse(v.Add(v, one), p)
		xx := v.Mul(v, new(big.Int).Sub(yy, one))
		x := new(big.Int).ModSqrt(xx.Mod(xx, p), p)
		if isPoint(encoded) != (x != nil) {
			t.Fatalf("%x: isPoint %v, root %v", encoded, x == nil, x)
		}
	})
}

func TestPointEdges(t *testing.T) {
	encode := func(y *big.Int, sign byte) []byte {
		b := y.FillBytes(make([]byte, 32))
		slices.Reverse(b)
		b[31] |= sign << 7
		return b
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	for offset, want := range map[int64]bool{0: true, 1: true, -1: true} { // y = 0, 1 (the neutral point), -1
		for _, sign := range []byte{0, 1} {
			y := new(big.Int).Mod(big.NewInt(offset), p)
			if got := isPoint(encode(y, sign)); got != want {
				t.Errorf("y=%d sign %d: %v", offset, sign, got)
			}
			// The same y once more, unreduced, where 255 bits hold it.
			if y.Add(y, p).BitLen() <= 255 && isPoint(encode(y, sign)) != want {
				t.Errorf("y=%d+p sign %d: %v", offset, sign, !want)
			}
		}
	}
	if isPoint(encode(big.NewInt(2), 0)) {
		t.Error("y=2 is no point of the curve")
	}
	for seed := range byte(20) {
		k := ed25519.NewKeyFromSeed(append(make([]byte, 31), seed))
		if !isPoint(k.Public().(ed25519.PublicKey)) {
			t.Errorf("public key of seed %d is no point", seed)
		}
	}
}
