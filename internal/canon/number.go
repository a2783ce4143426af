package canon

import (
	"math"
	"strconv"
)

// number is a number token's value: a float if isFloat, else sig with the sign of negative.
type number struct {
	isFloat  bool
	negative bool
	sig      uint64
	f        float64
}

func (n number) value() any {
	switch {
	case n.isFloat:
		return n.f
	case n.negative:
		return int64(-n.sig)
	}
	return n.sig
}

// number takes the number at pos, a digit or a minus, by the rules of identity.md 1.3. They are the
// reference's, which does not round correctly.
func (s *scanner) number() (number, bool) {
	var n number
	start := s.pos
	if s.data[s.pos] == '-' {
		n.negative = true
		s.pos++
	}
	if !s.digitHere() {
		return n, s.fail(s.pos, "number without a digit")
	}
	exp := 0 // of ten, to apply to sig
	full := false
	if s.data[s.pos] == '0' {
		s.pos++
		if s.digitHere() {
			return n, s.fail(s.pos, "number with a leading zero")
		}
	} else {
		for ; s.digitHere(); s.pos++ {
			if !full && !n.push(s.data[s.pos]) {
				full = true
			}
			if full {
				exp++
			}
		}
	}
	n.isFloat = full
	if s.byteHere('.') {
		n.isFloat = true
		s.pos++
		if !s.digitHere() {
			return n, s.fail(s.pos, "number without a digit behind the point")
		}
		for full = false; s.digitHere(); s.pos++ {
			if !full && n.push(s.data[s.pos]) {
				exp--
			} else {
				full = true
			}
		}
	}
	if s.byteHere('e') || s.byteHere('E') {
		n.isFloat = true
		s.pos++
		e, fits, ok := s.exponent()
		switch {
		case !ok:
			return n, false
		case !fits && e > 0 && n.sig != 0:
			return n, s.fail(start, "number out of range")
		case !fits:
			n.sig, exp = 0, 0
		default:
			exp += e
		}
	}
	if n.negative && (n.sig == 0 || n.sig > 1<<63) {
		n.isFloat = true
	}
	if !n.isFloat {
		return n, true
	}
	f, ok := scale(n.sig, exp)
	if !ok {
		return n, s.fail(start, "number out of range")
	}
	if n.negative {
		f = -f
	}
	n.f = f
	return n, true
}

func (s *scanner) digitHere() bool { return s.pos < len(s.data) && isDigit(s.data[s.pos]) }

func (s *scanner) byteHere(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }

// push adds a digit to sig if it fits.
func (n *number) push(c byte) bool {
	d := uint64(c - '0')
	if n.sig > math.MaxUint64/10 || n.sig == math.MaxUint64/10 && d > math.MaxUint64%10 {
		return false
	}
	n.sig = n.sig*10 + d
	return true
}

// exponent takes what follows the e. Where the digits exceed 32 bits fits is false and e only a sign.
func (s *scanner) exponent() (e int, fits, ok bool) {
	sign := 1
	if s.byteHere('+') {
		s.pos++
	} else if s.byteHere('-') {
		sign = -1
		s.pos++
	}
	if !s.digitHere() {
		return 0, false, s.fail(s.pos, "exponent without a digit")
	}
	fits = true
	for ; s.digitHere(); s.pos++ {
		if !fits {
			continue
		}
		d := int64(s.data[s.pos] - '0')
		if wide := int64(e)*10 + d; wide > math.MaxInt32 {
			fits = false
		} else {
			e = int(wide)
		}
	}
	if !fits {
		return sign, false, true
	}
	return sign * e, true, true
}

// scale is sig times ten to exp as the reference computes it; ok is false where that overflows.
func scale(sig uint64, exp int) (f float64, ok bool) {
	f = float64(sig)
	for {
		switch {
		case exp >= 0 && exp <= 308:
			f *= pow10[exp]
			return f, !math.IsInf(f, 0)
		case exp < 0 && exp >= -308:
			return f / pow10[-exp], true
		case f == 0:
			return f, true
		case exp > 0:
			return 0, false
		}
		f /= 1e308
		exp += 308
	}
}

// appendFloat writes the shortest digits that read back as f, laid out as in identity.md 1.3; what JSON
// cannot say is null.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if math.Signbit(f) {
		dst, f = append(dst, '-'), -f
	}
	if f == 0 {
		return append(dst, "0.0"...)
	}
	var buf [32]byte
	s := strconv.AppendFloat(buf[:0], f, 'e', -1, 64) // d[.ddd]e±XX
	at := len(s) - 1
	for s[at] != 'e' {
		at--
	}
	exp, _ := strconv.Atoi(string(s[at+1:])) // our own text: it parses
	mantissa := s[:at]
	if exp < -5 || exp > 15 {
		dst = append(append(dst, mantissa...), 'e')
		if exp > 0 {
			dst = append(dst, '+')
		}
		return strconv.AppendInt(dst, int64(exp), 10)
	}
	digits := mantissa[:1]
	if len(mantissa) > 1 {
		mantissa[1] = mantissa[0] // over the point
		digits = mantissa[1:]
	}
	switch {
	case exp < 0:
		dst = append(dst, "0."...)
		dst = append(dst, "0000"[:-exp-1]...)
		return append(dst, digits...)
	case len(digits)-1 <= exp:
		dst = append(dst, digits...)
		dst = append(dst, "000000000000000"[:exp+1-len(digits)]...)
		return append(dst, ".0"...)
	}
	dst = append(append(dst, digits[:exp+1]...), '.')
	return append(dst, digits[exp+1:]...)
}
