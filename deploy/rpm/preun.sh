#!/bin/sh
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then # no other version comes
  systemctl disable --now relaymesh.service || true
  systemctl disable --now relaymesh@ingest relaymesh@dhtworker relaymesh@syncworker relaymesh@fetcher || true
fi
