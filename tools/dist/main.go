package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 3 && args[0] == "image":
		digest, err := image(args[1], args[2], args[3:])
		if err == nil {
			fmt.Println(digest)
		}
		return err
	case len(args) == 2 && args[0] == "sbom":
		return sbom(os.Stdout, args[1])
	}
	return errors.New("usage: dist image DIR NAME BINARY..., or dist sbom BINARY")
}
