variable "name" {
  description = "The agent's name: that of its token, and of everything that is made."
  type        = string
}

variable "share" {
  description = "The output `share` of the module share."
  type = object({
    file_system_id           = string
    file_system_arn          = string
    client_security_group_id = string
    agent_uid                = number
    agent_access_point       = object({ id = string, arn = string })
    workloads = map(object({
      access_point_id  = string
      access_point_arn = string
      directory_id     = string
      directory_arn    = string
    }))
  })
}

variable "vpc_id" {
  description = "The VPC of the share."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets; a new host may come up in any of them."
  type        = list(string)
}

variable "ami_id" {
  description = "An image with outlast, amazon-efs-utils and the AWS CLI, of the architecture of instance_type."
  type        = string
}

variable "instance_type" {
  description = "Small: the agent reads every drop once, compresses and encrypts it. 1 GiB of memory is enough."
  type        = string
  default     = "t4g.small"
}

variable "disk_gib" {
  description = "The root disk, which has the agent's state and cache. All of it may be lost with the host."
  type        = number
  default     = 20
}

variable "upstream" {
  description = "Where the agent ships: https://host:port/ of media servers or the vault; several with commas between them."
  type        = string
  validation {
    condition     = alltrue([for url in split(",", var.upstream) : can(regex("^https://[^/ ]+/$", trimspace(url)))])
    error_message = "upstream is an address such as https://media.example:8443/, or several with commas between them."
  }
}

variable "upstream_port" {
  description = "The port in upstream, which the host may reach."
  type        = number
  default     = 8443
}

variable "upstream_cidr" {
  description = "Where media servers or the vault are; the host may reach that."
  type        = string
}

variable "token_parameter_arn" {
  description = "The SSM parameter (SecureString) with a reusable token of this agent's name: `outlast ca token --role agent --name NAME --reusable --ttl 365d`. It is made by hand, so that Terraform's state never has it."
  type        = string
  validation {
    condition     = can(regex("^arn:[^:]+:ssm:[^:]+:[^:]+:parameter/.+", var.token_parameter_arn))
    error_message = "token_parameter_arn is the ARN of an SSM parameter."
  }
}

variable "token_kms_key_arn" {
  description = "The key of that parameter, if it is not the account's own key for SSM."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
