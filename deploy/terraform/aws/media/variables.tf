variable "name" {
  description = "What everything is called after, such as outlast-media."
  type        = string
  default     = "outlast-media"
}

variable "vpc_id" {
  description = "The VPC of the media servers; it may be another one than the share's, and of another account."
  type        = string
}

variable "servers" {
  description = "The media servers by name, two or more: the name is that of its token. Each has a subnet, and the SSM parameter (SecureString) with a reusable token of its own: `outlast ca token --role media --name NAME --host HOST --reusable --ttl 365d`. Two with one token would revoke each other."
  type        = map(object({ subnet_id = string, token_parameter_arn = string }))
  validation {
    condition     = length(distinct([for s in values(var.servers) : s.token_parameter_arn])) == length(var.servers)
    error_message = "Two media servers have the same token: each would revoke the other's certificate."
  }
}

variable "agent_cidrs" {
  description = "Where agents are: they may connect to the media servers."
  type        = list(string)
}

variable "vault" {
  description = "The vault's address, such as https://vault.example:8443/."
  type        = string
  validation {
    condition     = can(regex("^https://[^/ ]+/$", var.vault))
    error_message = "vault is an address such as https://vault.example:8443/."
  }
}

variable "vault_cidr" {
  description = "Where the vault is, behind the private line."
  type        = string
}

variable "port" {
  description = "The port of media servers and of the vault."
  type        = number
  default     = 8443
}

variable "ami_id" {
  description = "An image with outlast and the AWS CLI, of the architecture of instance_type."
  type        = string
}

variable "instance_type" {
  description = "Small: a media server stores and forwards ciphertext."
  type        = string
  default     = "t4g.small"
}

variable "spool_gib" {
  description = "The disk of each spool: what comes while the line is down or slow. It may be lost: drops come again from the share."
  type        = number
  default     = 200
}

variable "spool_mibps" {
  description = "The speed of that disk in MiB/s: what comes is written once and read once."
  type        = number
  default     = 125
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
