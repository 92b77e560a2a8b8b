"""What a build will take, told beforehand from a measured probe: a stratified sample through the real stages."""
