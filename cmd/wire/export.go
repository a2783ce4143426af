package main

import (
	"fmt"

	"wirefleet.dev/wire/internal/census"
	"wirefleet.dev/wire/internal/home"
	"wirefleet.dev/wire/internal/pairing"
	"wirefleet.dev/wire/reconcile"
)

type exportCmd struct{}

func (c *exportCmd) Run(a *app) error {
	m, err := a.env.Machine()
	if err != nil {
		return err
	}
	all, err := census.List(m)
	if err != nil {
		return err
	}
	sessions := make([]home.Session, len(all))
	index := map[string]int{}
	for i, l := range all {
		sessions[i], index[l.Session.Name] = l.Session, i
	}
	survey, err := pairing.Look(a.ctx, sessions, 8)
	if err != nil {
		return err
	}
	out := reconcile.Export(all, func(x, y string) bool {
		i, j := index[x], index[y]
		return survey.Pin(i, j).State == pairing.PinGood && survey.Pin(j, i).State == pairing.PinGood
	})
	for _, n := range out.Notes {
		fmt.Fprintln(a.err, plainText(n))
	}
	_, err = a.out.Write(out.File.Encode())
	return err
}
