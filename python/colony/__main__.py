"""`python -m colony` is the command `colony`."""

from colony import main

main()
