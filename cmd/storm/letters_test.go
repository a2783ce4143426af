package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wirefleet.dev/wire/internal/canon"
	"wirefleet.dev/wire/internal/identity"
)

func lineOf(l letter) string {
	return fmt.Sprintf(`{"body":%q,"event_id":%q,"from":"did:wire:%s-00000001","to":"did:wire:%s"}`+"\n", l.Body, l.ID, l.From, l.To)
}

// Every way in which a message can go astray fails the proof.
func TestJudge(t *testing.T) {
	first := letter{1, "s00", "s01", "one", "e1", accepted}
	second := letter{2, "s00", "s01", "two", "e2", accepted}
	back := letter{3, "s01", "s00", "three", "e3", accepted}
	doomed := letter{4, "s00", "s01", "four", "", killed}
	turned := letter{5, "s00", "s01", "five", "", refused}
	all := []letter{first, second, back, doomed, turned}
	changed := func(l letter, change func(*letter)) string { change(&l); return lineOf(l) }
	good := lineOf(first) + lineOf(second)
	for name, c := range map[string]struct {
		letters []letter
		s01     string // file of s00
		s00     string // file of s01
		other   []box
		want    tally
		err     string
	}{
		"all there":         {all, good, lineOf(back), nil, tally{accepted: 3, killedLost: 1, refused: 1}, ""},
		"a killed one, too": {all, good + lineOf(doomed), lineOf(back), nil, tally{accepted: 3, killedFound: 1, refused: 1}, ""},
		"a refused one":     {all, good + lineOf(turned), lineOf(back), nil, tally{accepted: 3, killedLost: 1, refused: 1}, ""},
		"out of order":      {all, lineOf(second) + lineOf(first), lineOf(back), nil, tally{accepted: 3, killedLost: 1, refused: 1, inversions: 1}, ""},
		"lost":              {all, lineOf(second), lineOf(back), nil, tally{}, "1 accepted letters did not arrive, the first is 1 "},
		"twice":             {all, good + lineOf(first), lineOf(back), nil, tally{}, "letter 1 from s00 to s01 (accepted) arrived 2 times"},
		"killed, twice":     {all, good + lineOf(doomed) + lineOf(doomed), lineOf(back), nil, tally{}, "letter 4 from s00 to s01 (killed) arrived 2 times"},
		"torn at the end":   {all, good + `{"body":"o`, lineOf(back), nil, tally{}, "its last line is torn"},
		"torn in between":   {all, lineOf(first)[:20] + "\n" + lineOf(second), lineOf(back), nil, tally{}, "a torn line"},
		"an empty line":     {all, good + "\n", lineOf(back), nil, tally{}, "a torn line"},
		"nobody's":          {all, good + changed(first, func(l *letter) { l.Body = "six" }), lineOf(back), nil, tally{}, "a line that nobody sent"},
		"another's file":    {all, good, lineOf(back), []box{{"s01", "s02", []byte(lineOf(first))}}, tally{}, "letter 1 is from s00"},
		"another's inbox":   {all, good, lineOf(back), []box{{"s02", "s00", []byte(lineOf(first))}}, tally{}, "letter 1 is for s01"},
		"another addressee": {all, lineOf(second) + changed(first, func(l *letter) { l.To = "s02" }), lineOf(back), nil, tally{}, "letter 1 is for s01, and says"},
		"another sender":    {all, lineOf(second) + changed(first, func(l *letter) { l.From = "s02" }), lineOf(back), nil, tally{}, "letter 1 is from s00"},
		"another event":     {all, lineOf(second) + changed(first, func(l *letter) { l.ID = "e9" }), lineOf(back), nil, tally{}, "letter 1 was accepted as e1 and is e9"},
		"without an id":     {[]letter{{1, "s00", "s01", "one", "", accepted}}, good, "", nil, tally{}, "letter 1 from s00 to s01 was accepted without an event id"},
		"forged":            {[]letter{first, {2, "s00", "s01", "forged", "e2", accepted}}, lineOf(letter{2, "s00", "s01", "forged", "e2", accepted}), "", nil, tally{}, "letter 2 does not verify: forged"},
		"nothing accepted":  {[]letter{doomed}, "", "", nil, tally{}, "no letter was accepted"},
	} {
		boxes := append([]box{{"s01", "s00", []byte(c.s01)}, {"s00", "s01", []byte(c.s00)}}, c.other...)
		got, err := post{
			c.letters, boxes,
			map[string]identity.DID{"s00": "did:wire:s00-00000001", "s01": "did:wire:s01-00000001", "s02": "did:wire:s02-00000001"},
			func(_ string, event canon.Doc) error {
				if event["body"] == "forged" {
					return errors.New("forged")
				}
				return nil
			},
		}.judge()
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(tally{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if text := fmt.Sprint(err); c.err == "" && err != nil || !strings.Contains(text, c.err) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
