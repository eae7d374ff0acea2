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
	case len(args) > 4 && args[0] == "image":
		digest, err := image(args[1], args[2], args[3], args[4:])
		if err == nil {
			fmt.Println(args[2], digest)
		}
		return err
	case len(args) > 1 && args[0] == "licences":
		return licences(os.Stdout, args[1:])
	case len(args) == 3 && args[0] == "notes":
		changelog, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		return notes(os.Stdout, string(changelog), args[2])
	}
	return errors.New("usage: dist image ARCHIVE NAME:TAG LICENCES BINARY..., dist licences BINARY..., or dist notes CHANGELOG VERSION")
}
