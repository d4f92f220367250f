variable "name" {
  description = "The agent's name: that of its token, and of everything that is made."
  type        = string
}

variable "resource_group_name" {
  description = "The resource group of everything that is made."
  type        = string
}

variable "location" {
  description = "The region, such as westeurope."
  type        = string
}

variable "subnet_id" {
  description = "A subnet that reaches the share's private endpoint and the upstream."
  type        = string
}

variable "share" {
  description = "The output `share` of the module share."
  type = object({
    account  = string
    share    = string
    protocol = string
  })
}

variable "image_id" {
  description = "An image with outlast, curl, and cifs-utils or nfs-common."
  type        = string
}

variable "size" {
  description = "Small: the agent reads every drop once, compresses and encrypts it. 1 GiB of memory is enough."
  type        = string
  default     = "Standard_B1s"
}

variable "admin_ssh_public_key" {
  description = "Azure demands a key for machines without a password. No rule lets anybody in to use it."
  type        = string
}

variable "upstream" {
  description = "Where the agent ships: https://host:port/ of media servers or the vault; several with commas between them."
  type        = string
  validation {
    condition     = alltrue([for url in split(",", var.upstream) : can(regex("^https://[^/ ]+/$", trimspace(url)))])
    error_message = "upstream is an address such as https://media.example:8443/, or several with commas between them."
  }
}

variable "key_vault_id" {
  description = "The Key Vault with the secrets; it decides by roles (RBAC)."
  type        = string
}

variable "key_vault" {
  description = "Its name."
  type        = string
}

variable "token_secret" {
  description = "The secret with a reusable token of this agent's name: `outlast ca token --role agent --name NAME --reusable --ttl 365d`. It is made by hand, so that Terraform's state never has it."
  type        = string
}

variable "share_secret" {
  description = "The secret with the storage account's key, for SMB."
  type        = string
  default     = "outlast-share-key"
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
